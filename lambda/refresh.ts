/** The entry of the function that attests hosts for later requests. */
import { systemClock } from './clock.ts';
import { Counts } from './log/counts.ts';
import { FunctionLog } from './log/function-log.ts';
import { composeParts, type Parts } from './parts.ts';
import { refreshHandler } from './refreshing/refresh-handler.ts';

const counts = new Counts();
let parts: Parts | undefined;
const getParts = (): Parts => (parts ??= composeParts(process.env, systemClock, counts));

export const handler = refreshHandler(getParts, new FunctionLog(counts));
