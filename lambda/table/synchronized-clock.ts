import type { Clock } from '../clock.ts';
import type { Counts } from '../log/counts.ts';
import { clockDifference, isTooLarge, mayBeNone, middleOf } from '../trust/clock-difference.ts';
import { ageOf, isSince, type Moment } from '../trust/time.ts';

/**
 * The clock of an environment, set right by the one that all environments share: DynamoDB says its time with every answer
 * (RFC 9110, 6.6.1: `Date`, in whole seconds). Where the environment's own clock is less than three seconds off, its time is the
 * time; where it is more, DynamoDB's is, from the next answer on, and `ClockFaults` counts. Between two answers time goes on
 * by whichever of the environment's own clocks says more, so that nothing is younger than it was.
 */
export class SynchronizedClock implements Clock {
  readonly #own: Clock;
  readonly #counts: Pick<Counts, 'fault' | 'measure'>;
  /** A moment of the own clocks, and what time it was then. */
  #known: { readonly at: Moment; readonly time: number };

  constructor(own: Clock, counts: Pick<Counts, 'fault' | 'measure'>) {
    this.#own = own;
    this.#counts = counts;
    const at = own.moment();
    this.#known = { at, time: at.wall };
  }

  now(): number {
    return this.timeOf(this.#own.moment());
  }

  timeOf(moment: Moment): number {
    const { at, time } = this.#known;
    if (isSince(moment.monotonic, at.monotonic)) return time + Math.max(0, ageOf(at, moment));
    return time - (at.monotonic - moment.monotonic);
  }

  /**
   * DynamoDB has answered.
   * @param date its time as the answer says it, epoch milliseconds; what is no number says nothing
   * @param sent when the request was sent
   */
  dated(date: number, sent: Moment): void {
    if (!Number.isFinite(date)) return;
    const at = this.#own.moment();
    const tookMs = Math.max(0, ageOf(sent, at));
    const now = this.timeOf(at);
    const ownDifference = clockDifference(at.wall, tookMs, date);
    const difference = clockDifference(now, tookMs, date);
    if (ownDifference === undefined || difference === undefined) return;
    const aheadMs = Math.round(middleOf(ownDifference));
    this.#counts.measure('ClockDifference', aheadMs);
    if (isTooLarge(ownDifference)) this.#counts.fault('ClockFaults', describe(aheadMs));
    const isRight = mayBeNone(ownDifference);
    this.#known = { at, time: isRight ? at.wall : isTooLarge(difference) ? now - middleOf(difference) : now };
  }

  monotonic(): number {
    return this.#own.monotonic();
  }

  moment(): Moment {
    return this.#own.moment();
  }

  wait(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#own.wait(ms, signal);
  }

  turn(): Promise<void> {
    return this.#own.turn();
  }
}

function describe(aheadMs: number): string {
  const seconds = Math.round(Math.abs(aheadMs) / 1000);
  return `the clock of this environment is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} DynamoDB's, which counts`;
}
