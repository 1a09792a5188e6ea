import { describe, expect, test } from '@jest/globals';
import { levelOf, type Reason, REASONS } from '../../../lambda/trust/reason.ts';

describe('levels', () => {
  test.each(REASONS.map((reason) => [reason, reason === 'trusted' || reason === 'untrusted' ? reason : 'unknown']))(
    'the reason %s stands for the level %s',
    (reason, level) => {
      expect(levelOf(reason as Reason)).toBe(level);
    },
  );

  test('the order of the reasons is part of the format of the table', () => {
    expect(REASONS.join()).toBe(
      'trusted,untrusted,unknown,timeout,pending,not-in-reply,bad-reply,bad-vtime,unreachable,refused,late,unchecked',
    );
  });
});
