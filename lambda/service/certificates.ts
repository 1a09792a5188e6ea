import { X509Certificate } from 'node:crypto';
import { ClientCertificateError } from '../errors.ts';

/** Where a certificate begins (RFC 7468), also where the line before it has no end. */
const BEGIN = /(?=-----BEGIN [A-Z0-9 ]*CERTIFICATE-----)/;
/** The words of both marks, whatever became of the dashes around them. */
const MARK = /(?:BEGIN|END) [A-Z0-9 ]*CERTIFICATE/g;
/** A line that breaks off in a mark, of a certificate or of something else. */
const CUT_MARK = /^-----[A-Z][A-Z0-9 ]*\r?$/m;

/** The certificates of a PEM text, and a PEM text of nothing else, so that TLS reads what was read here. */
export interface Certificates {
  readonly list: readonly X509Certificate[];
  readonly pem: string;
}

/**
 * Reads every certificate of a PEM text by itself: OpenSSL stops at the first that it can't read, says nothing, and leaves
 * out all that stands behind it. What stands between certificates is no part of them.
 * @param name the text's member in the secret
 * @throws {ClientCertificateError} naming the member and which certificate of it can't be read, counted from 1
 */
export function parseCertificates(name: string, text: string): Certificates {
  const start = text.search(BEGIN);
  const before = start === -1 ? text : text.slice(0, start);
  const blocks = start === -1 ? [] : text.slice(start).split(BEGIN);
  if (before.match(MARK) !== null || CUT_MARK.test(before)) throw damaged(name, 1);
  if (blocks.length === 0) throw new ClientCertificateError(`"${name}" of the secret is not a PEM certificate`);
  const list = blocks.map((block, i) => {
    const marks = block.match(MARK) ?? [];
    try {
      const certificate = new X509Certificate(block);
      if (marks.length === 2 && !CUT_MARK.test(block)) return certificate;
    } catch {
      throw damaged(name, i + 1);
    }
    // It is whole, and behind it is a part of another.
    throw damaged(name, i + 2);
  });
  return { list, pem: list.map((certificate) => certificate.toString().trimEnd()).join('\n') };
}

function damaged(name: string, position: number): ClientCertificateError {
  return new ClientCertificateError(
    `certificate ${position} in "${name}" of the secret can't be read: each must be whole, with its lines as they were`,
  );
}
