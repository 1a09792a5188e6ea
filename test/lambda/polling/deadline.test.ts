import { describe, expect, test } from '@jest/globals';
import { newDeadline } from '../../../lambda/polling/deadline.ts';
import { SynchronizedClock } from '../../../lambda/table/synchronized-clock.ts';
import { Counts } from '../../../lambda/log/counts.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';
import { HOUR, NOW, SECOND } from '../builders.ts';

const LIMIT = 25 * SECOND;
const clock = new VirtualClock(NOW);

describe('a deadline', () => {
  test.each([
    ['the start of the handler, without a time of the event', undefined, NOW],
    ['the time of the event', NOW - SECOND, NOW - SECOND],
    ['the time of an event that arrived this very moment', NOW, NOW],
    ['the time of an event of just ten seconds ago', NOW - 10 * SECOND, NOW - 10 * SECOND],
    ['the start of the handler where the event is older', NOW - 10 * SECOND - 1, NOW],
    ['the start of the handler where the event is from the future', NOW + 1, NOW],
    ['the start of the handler where the event has no number for its time', NaN, NOW],
  ])('counts from %s', (_, timeEpoch, start) => {
    expect(newDeadline({ clock, limitMs: LIMIT, timeEpoch }).answerBy).toBe(start - NOW + LIMIT);
  });

  test.each([
    ['half a second before the end of the invocation', 10 * SECOND, 9_500],
    ['at the limit of the protocol where that is earlier', HOUR, LIMIT],
    ['at the limit of the protocol where both are equal', LIMIT + 500, LIMIT],
    ['at once, and not before, where the invocation is about to end', 100, 0],
  ])('is %s', (_, remainingMs, answerBy) => {
    expect(newDeadline({ clock, limitMs: LIMIT, remainingMs }).answerBy).toBe(answerBy);
  });

  test('is not moved past the end of the invocation by a recent event', () => {
    const deadline = newDeadline({ clock, limitMs: LIMIT, timeEpoch: NOW - SECOND, remainingMs: 24_000 });
    expect(deadline.answerBy).toBe(23_500);
  });

  test('leaves half of the time to DynamoDB and half a second to write and render', () => {
    expect(newDeadline({ clock, limitMs: LIMIT })).toEqual({
      arrivedAt: NOW,
      beganAt: 0,
      answerBy: LIMIT,
      stopAt: LIMIT - 500,
      tableBy: LIMIT / 2,
    });
  });

  test('leaves a fifth of a short time to write and render', () => {
    expect(newDeadline({ clock, limitMs: LIMIT, remainingMs: 1_500 })).toEqual({
      arrivedAt: NOW,
      beganAt: 0,
      answerBy: 1_000,
      stopAt: 800,
      tableBy: 500,
    });
  });

  test('has a request arrive when the handler begins, so that nothing older counts as answered since', () => {
    expect(newDeadline({ clock, limitMs: LIMIT, timeEpoch: NOW - 9 * SECOND }).arrivedAt).toBe(NOW);
  });

  test('stays where it is when the clock is set right, and the request arrived when it did', async () => {
    const world = new VirtualClock(NOW);
    const behind = new SynchronizedClock(
      world.skewed(() => -HOUR),
      new Counts(),
    );
    const sent = behind.moment();
    const deadline = newDeadline({ clock: behind, limitMs: LIMIT });
    expect(deadline.arrivedAt).toBe(NOW - HOUR);
    await world.advance(SECOND);
    behind.dated(NOW + SECOND, sent);
    expect(deadline.answerBy).toBe(LIMIT);
    expect(Math.abs(deadline.arrivedAt - NOW)).toBeLessThanOrEqual(SECOND);
  });
});
