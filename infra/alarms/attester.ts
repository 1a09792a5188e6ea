import { Duration } from 'aws-cdk-lib';
import { ComparisonOperator, MathExpression } from 'aws-cdk-lib/aws-cloudwatch';
import type { TrustMetrics } from '../constructs/trust-metrics.ts';
import type { AlarmLimits } from './limits.ts';
import { type AlarmPlan, counted, ONCE, spell, within } from './plan.ts';

/** No certificate has as many days left: it stands for none that was looked at. */
const NO_CERTIFICATE = 9_999;

/** The attestation service, and what it is shown. */
export function ofAttester(metrics: TrustMetrics, limits: AlarmLimits): AlarmPlan[] {
  const { failedPolls, isKeylime, mayBeInTime, pollSeconds, roundSeconds } = limits;
  const period = Duration.seconds(pollSeconds);
  const [failed, ofFailed] = metrics.terms(['PollsFailed'], period);
  const [polls, ofPolls] = metrics.terms(['Polls'], period);
  return [
    {
      name: 'AttesterUnreachable',
      pages: true,
      when: `of the polls within ${spell(pollSeconds)} 90 % or more failed, and ${failedPolls} at least`,
      means: 'The attestation service answers nobody. Hosts pass until their attestations end, then none does.',
      act: 'See whether the service runs and can be reached from the functions; "faults" in the lines of polls says what fails: connection, TLS, certificate or status (docs/faults.md).',
      metric: new MathExpression({
        expression: `IF(${failed} >= ${failedPolls}, 100 * (${failed}) / (${polls}), 0)`,
        usingMetrics: { ...ofFailed, ...ofPolls },
        label: 'Polls that failed, %',
        period,
      }),
      threshold: 90,
      span: within(ONCE, pollSeconds),
    },
    counted(metrics, ['CertificateRefusals', 'LoginRefusals', 'SecretFaults'], {
      name: 'CredentialsRefused',
      means:
        'The secret can not be read or used, or the attestation service refuses the client certificate or the login in it. The last good one stays in use while it can.',
      act: 'Read "faults" in the lines with one of these counts, then put what it asks for into the secret; nothing needs to be restarted.',
    }),
    ofCertificate(metrics, {
      name: 'CertificateEnds',
      pages: false,
      days: 21,
      means: 'The client certificate in use ends soon.',
      act: 'Have a new one issued and put it into the secret. The alarm is over a day after that.',
    }),
    ofCertificate(metrics, {
      name: 'CertificateEndsNow',
      pages: true,
      days: 3,
      means: 'In a few days the attestation service will let the functions in no more, and no host will pass.',
      act: 'Put a new client certificate into the secret today. The alarm is over a day after that.',
    }),
    counted(metrics, mayBeInTime ? ['FutureVtimes', 'LateVtimes'] : ['FutureVtimes'], {
      name: 'AttesterClock',
      means:
        'The times that the attestation service gives are ahead of ours, or too old when they come: its clock is off, or its own cache keeps answers for longer than authTimeout.',
      act: 'Set its clock (NTP). VtimeDifference says by how much; if it is right, make its cache shorter or authTimeout longer.',
    }),
    ...(isKeylime ? ofKeylime(metrics, roundSeconds) : []),
  ];
}

function ofKeylime(metrics: TrustMetrics, roundSeconds: number): AlarmPlan[] {
  return [
    counted(metrics, ['ShortValidity'], {
      name: 'ShortValidity',
      roundSeconds,
      means:
        'From one quote of an agent to the next takes more than half of authTimeout, so that a good host may end between two.',
      act: 'Make authTimeout at least twice what "faults" in the lines names, or the interval of the verifier shorter.',
    }),
    counted(metrics, ['BulkFaults'], {
      name: 'BulkFaults',
      roundSeconds,
      means:
        'The agents can not be read all at once and are read one by one, which takes longer and is more work for the verifier.',
      act: 'Read "faults" in the lines with that count: mostly a proxy or a limit that refuses the large answer.',
    }),
  ];
}

function ofCertificate(
  metrics: TrustMetrics,
  { days, ...texts }: Pick<AlarmPlan, 'name' | 'pages' | 'means' | 'act'> & { readonly days: number },
): AlarmPlan {
  const period = Duration.hours(1);
  return {
    ...texts,
    when: `the client certificate had less than ${days} days left, at any time of the last day`,
    metric: new MathExpression({
      expression: `MIN([FILL(filter, ${NO_CERTIFICATE}), FILL(refresh, ${NO_CERTIFICATE})])`,
      usingMetrics: {
        filter: metrics.of('CertificateDaysLeft', 'filter', 'Minimum', period),
        refresh: metrics.of('CertificateDaysLeft', 'refresh', 'Minimum', period),
      },
      label: 'Days left of the client certificate',
      period,
    }),
    threshold: days,
    comparison: ComparisonOperator.LESS_THAN_THRESHOLD,
    // Nobody looks at a certificate while nobody asks: what was seen last counts for a day, so that a quiet night ends no alarm.
    span: { breaching: 1, of: 24 },
  };
}
