import { describe, expect, test } from '@jest/globals';
import { alarmLimits } from '../../../infra/alarms/limits.ts';
import { parseTrustSettings } from '../../../infra/settings/trust-settings.ts';

const limitsOf = (trust: object) =>
  alarmLimits(parseTrustSettings({ server: 'oat.example.net', secretName: 'filter/certificate', ...trust }));

describe('the limits of the alarms', () => {
  test('are those of the defaults where nothing is set', () => {
    expect(limitsOf({})).toEqual({
      roundSeconds: 300,
      pollSeconds: 300,
      failedPolls: 2,
      oldestSeconds: undefined,
      flips: 20,
      executions: 160,
      mayBeInTime: true,
      isKeylime: false,
    });
  });

  test('follow the step of the schedule, and no attestation gets older than two', () => {
    expect(limitsOf({ refresh: 1, authTimeout: 600 })).toMatchObject({ roundSeconds: 300, oldestSeconds: 120 });
    const slow = { roundSeconds: 3_600, pollSeconds: 7_200, failedPolls: 2, oldestSeconds: 7_200 };
    expect(limitsOf({ refresh: 60, authTimeout: 7_200 })).toMatchObject(slow);
  });

  test('tell by one poll where a day, as far as CloudWatch looks back, has no second', () => {
    const daily = { roundSeconds: 86_400, pollSeconds: 86_400, failedPolls: 1 };
    expect(limitsOf({ refresh: 1_440, authTimeout: 172_800 })).toMatchObject(daily);
  });

  test('follow the size of the fleet, down to ten hosts', () => {
    expect(limitsOf({ fleetSize: 50_000 }).flips).toBe(1_000);
    expect(limitsOf({ fleetSize: 40 }).flips).toBe(10);
  });

  test('follow the executions that the filter may have, where there is a limit', () => {
    expect(limitsOf({ filterConcurrency: 11 }).executions).toBe(9);
    expect(limitsOf({ filterConcurrency: 0 }).executions).toBeUndefined();
  });

  test('know that nothing is in time where the validity is shorter than a poll', () => {
    expect(limitsOf({ authTimeout: 0 }).mayBeInTime).toBe(false);
    expect(limitsOf({ authTimeout: 20, pollTimeout: 20 }).mayBeInTime).toBe(false);
    expect(limitsOf({ authTimeout: 30, pollTimeout: 20 }).mayBeInTime).toBe(true);
  });

  test('know Keylime', () => {
    expect(limitsOf({ service: 'keylime' }).isKeylime).toBe(true);
  });
});
