import { describe, expect, test } from '@jest/globals';
import { causeOf, Counts } from '../../../lambda/log/counts.ts';
import { PollError } from '../../../lambda/errors.ts';

describe('counts', () => {
  test('add up until they are taken, and begin anew', () => {
    const counts = new Counts();
    counts.add('Polls');
    counts.add('Polls');
    counts.add('UnaskedAnswers', 7);
    expect(counts.take().values).toEqual(
      new Map([
        ['Polls', 2],
        ['UnaskedAnswers', 7],
      ]),
    );
    expect(counts.take()).toEqual({ values: new Map(), faults: [] });
    counts.add('Polls');
    expect(counts.take().values).toEqual(new Map([['Polls', 1]]));
  });

  test('that were nothing are left out', () => {
    const counts = new Counts();
    counts.add('FutureVtimes', 0);
    expect(counts.take().values.size).toBe(0);
  });

  test('of faults count each, and keep the first cause of each wording and kind', () => {
    const counts = new Counts();
    for (let i = 0; i < 3; i++) counts.fault('TableFaults', new Error('throttled'));
    counts.fault('TableFaults', new Error('no route'));
    counts.fault('PollsFailed', new Error('throttled'));
    expect(counts.take()).toEqual({
      values: new Map([
        ['TableFaults', 4],
        ['PollsFailed', 1],
      ]),
      faults: [
        { fault: 'TableFaults', cause: 'Error: throttled' },
        { fault: 'TableFaults', cause: 'Error: no route' },
        { fault: 'PollsFailed', cause: 'Error: throttled' },
      ],
    });
    counts.fault('TableFaults', new Error('throttled'));
    expect(counts.take().faults).toHaveLength(1);
  });

  test('keep at most ten causes, and count on', () => {
    const counts = new Counts();
    for (let i = 0; i < 25; i++) counts.fault('InternalFaults', new Error(`number ${i}`));
    const { values, faults } = counts.take();
    expect(values.get('InternalFaults')).toBe(25);
    expect(faults).toHaveLength(10);
  });
});

describe('the cause of an error', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:8443'), { code: 'ECONNREFUSED' });
  const loop = new Error('loop');
  loop.cause = loop;

  test.each<[string, unknown, string]>([
    ['names its class', new TypeError('odd'), 'TypeError: odd'],
    [
      'names codes and the causes behind it',
      new PollError('unreachable', 'could not be reached', { cause: refused }),
      'PollError: could not be reached < Error ECONNREFUSED: connect ECONNREFUSED 127.0.0.1:8443',
    ],
    ['leaves out a code that is no text', Object.assign(new Error('a'), { code: 7 }), 'Error: a'],
    [
      'follows the first of several errors',
      new AggregateError([refused, new Error('other')], 'all failed'),
      'AggregateError: all failed < Error ECONNREFUSED: connect ECONNREFUSED 127.0.0.1:8443',
    ],
    [
      'prefers its own cause to those',
      new AggregateError([refused], 'all failed', { cause: new Error('why') }),
      'AggregateError: all failed < Error: why',
    ],
    ['ends where several errors are none', new AggregateError([], 'nothing'), 'AggregateError: nothing'],
    ['that was thrown as a text is the text', 'odd', 'odd'],
    ['that was thrown as something else is its type alone', { secret: 'hunter2' }, 'object'],
    [
      'shows no more of a cause that is no error',
      new Error('a', { cause: { secret: 'hunter2' } }),
      'Error: a < object',
    ],
    ['of nothing is nothing', undefined, ''],
    ['that is null is nothing', null, ''],
    ['that causes itself ends after five', loop, Array(5).fill('Error: loop').join(' < ')],
    ['is cut at 300 characters', new Error('x'.repeat(1_000)), `Error: ${'x'.repeat(293)}`],
  ])('%s', (_, error, expected) => {
    expect(causeOf(error)).toBe(expected);
  });
});
