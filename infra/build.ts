/** Bundles each function to `dist/<function>/index.mjs` and its chunks: exactly what the stack deploys. */
import { chmodSync, readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build, type BuildOptions } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const FUNCTIONS = ['filter', 'refresh'];

/** How functions are bundled; what is measured beside them is bundled the same way. */
export function bundleOptions(entry: string, folder: string): BuildOptions {
  return {
    absWorkingDir: root,
    entryPoints: { index: entry },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    chunkNames: 'chunk-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // The SDK's modules rather than its CommonJS: half the time to load.
    mainFields: ['module', 'main'],
    minify: true,
    legalComments: 'none',
    // CommonJS packages inside an ES module still ask for Node's own modules with require.
    banner: { js: "import{createRequire as __r}from'node:module';const require=__r(import.meta.url);" },
    logLevel: 'warning',
  };
}

if (import.meta.main) {
  for (const name of FUNCTIONS) {
    rmSync(`${root}/dist/${name}`, { recursive: true, force: true });
    await build(bundleOptions(`lambda/${name}.ts`, `dist/${name}`));
    // Lambda reads them as another user than who wrote them, and modes go with them into the archive.
    for (const file of readdirSync(`${root}/dist/${name}`)) chmodSync(`${root}/dist/${name}/${file}`, 0o644);
  }
}
