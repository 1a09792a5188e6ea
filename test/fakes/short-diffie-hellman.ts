import { getDiffieHellman } from 'node:crypto';

/** A DER value: its tag, its length, its content. */
function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const long = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...(length < 128 ? [length] : long)]), content]);
}

/** Diffie-Hellman parameters of 1024 bits, the second Oakley group, as Java 8 has them: PEM text. */
export function shortDiffieHellman(): string {
  const group = getDiffieHellman('modp2');
  const positive = (number: Buffer): Buffer => der(0x02, Buffer.concat([Buffer.from([0]), number]));
  const sequence = der(0x30, Buffer.concat([positive(group.getPrime()), der(0x02, group.getGenerator())]));
  const lines = sequence.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN DH PARAMETERS-----', ...lines, '-----END DH PARAMETERS-----', ''].join('\n');
}
