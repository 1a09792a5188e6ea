/** The entry of the function that attests hosts for later requests. */
import { systemClock } from './clock.ts';
import { stackOf } from './config.ts';
import { Counts } from './log/counts.ts';
import { FunctionLog } from './log/function-log.ts';
import { composeParts, type Parts } from './parts.ts';
import { refreshHandler } from './refreshing/refresh-handler.ts';

const counts = new Counts();
let parts: Parts | undefined;
const getParts = (): Parts => (parts ??= composeParts(process.env, systemClock, counts));

const log = new FunctionLog(counts, () => ({ function: 'refresh', stack: stackOf(process.env) }));

export const handler = refreshHandler(getParts, log);
