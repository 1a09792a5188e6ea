import type { Reason } from '../trust/reason.ts';

/** One fixed sentence per reason: schedulers group by them, so they name no host and no time. */
export const MESSAGES: Readonly<Record<Reason, string>> = {
  trusted: 'The attestation service reports the host as trusted.',
  untrusted: 'The attestation service reports the host as untrusted.',
  unknown: 'The trust level of the host is unknown.',
  timeout: 'The host did not report to the attestation service in time.',
  pending: 'There is no complete answer about the host yet.',
  'not-in-reply': 'The attestation service left the host out of its reply.',
  'bad-reply': 'The attestation service replied about the host with something that is no attestation.',
  'bad-vtime': 'The attestation service replied about the host without a usable validation time.',
  unreachable: 'The attestation service could not be reached.',
  refused: 'The attestation service refused to attest the host.',
  late: 'What the attestation service said of the host was already too old when it came.',
  unchecked: 'The attestation service measures the host but checks it against nothing.',
};
