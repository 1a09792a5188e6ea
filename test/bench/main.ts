/** `npm run bench -- NAME`: measures, prints, and exits non-zero where a bound is missed. */
import { coldStart } from './cold-start.ts';
import { deadline } from './deadline.ts';
import { keylime } from './keylime.ts';
import { polls } from './polls.ts';
import { protocols } from './protocols.ts';
import { isMet, print, type Report } from './report.ts';
import { rounds } from './rounds.ts';
import { table } from './table.ts';
import { warm } from './warm.ts';

const BENCHES: Readonly<Record<string, { readonly what: string; readonly run: () => Promise<Report> }>> = {
  'cold-start': { what: 'module initialisation, beside the least that a function with a table needs', run: coldStart },
  deadline: { what: 'how long a request with 4 s takes where refresh polls, and what it resolves', run: deadline },
  keylime: { what: 'agents of a Keylime verifier read one by one, beside all of them at once', run: keylime },
  polls: { what: 'how often hosts are polled when many environments ask for them at once', run: polls },
  warm: { what: 'a request with every host in memory, beside the least that it must do', run: warm },
  protocols: { what: 'a request in each protocol, beside the JSON of its body', run: protocols },
  rounds: { what: 'scheduled rounds of a fleet of which some hosts fall silent', run: rounds },
  table: { what: 'a fleet read from the table, beside one item a host; and the writes of a refresh', run: table },
};

const HELP = `npm run bench -- NAME [NAME …]

Measures, prints a table, its bounds and JSON, and exits with 1 where a bound is missed. Each takes up to some minutes;
let nothing else run meanwhile. deadline also writes docs/deadline.json and docs/deadline.svg anew.

${Object.entries(BENCHES)
  .map(([name, { what }]) => `  ${name.padEnd(12)} ${what}`)
  .join('\n')}
`;

const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in BENCHES));
if (names.includes('--help')) {
  console.log(HELP);
} else if (names.length === 0 || unknown.length > 0) {
  console.error(`${unknown.length > 0 ? `There is no bench ${unknown.join(', ')}.\n\n` : ''}${HELP}`);
  process.exitCode = 2;
} else {
  for (const name of names) {
    const report = await BENCHES[name]?.run();
    if (report === undefined) continue;
    print(report);
    if (!report.bounds.every(isMet)) process.exitCode = 1;
  }
}
