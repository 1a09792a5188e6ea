import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RECORD_FOLDER } from './record.ts';

/** Before a test run: a folder for what the run records, in a variable that the tests' processes inherit. */
export default function makeRecordFolder(): void {
  process.env[RECORD_FOLDER] = mkdtempSync(join(tmpdir(), 'trusted-filter-record-'));
}
