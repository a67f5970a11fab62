// A Sigstore of our own: an authority that certifies identities, a certificate log, a transparency log. Everything is made by hand, so that each
// piece can be made wrong. Sources: RFC 5280, RFC 6962, the formats of Fulcio, Rekor and the bundle.

import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { bytesOf } from './tools.ts'

const tlv = (tag: number, ...parts: readonly (Uint8Array | readonly number[])[]): Buffer => {
  const body = Buffer.concat(parts.map(part => Buffer.from(part as Uint8Array)))
  const n = body.byteLength
  const length = n < 128 ? [n] : n < 256 ? [0x81, n] : [0x82, n >> 8, n & 255]
  return Buffer.concat([Buffer.from([tag, ...length]), body])
}
const sequence = (...parts: readonly Uint8Array[]): Buffer => tlv(0x30, ...parts)
const octets = (bytes: Uint8Array): Buffer => tlv(0x04, bytes)
const bits = (bytes: Uint8Array, unused = 0): Buffer => tlv(0x03, [unused], bytes)
const text = (tag: number, value: string): Buffer => tlv(tag, Buffer.from(value))
const integer = (bytes: Uint8Array): Buffer => tlv(0x02, [0], bytes)
const time = (date: Date): Buffer => text(0x18, `${date.toISOString().replace(/[-:T]|\.\d+/g, '')}`)
const oid = (id: string): Buffer => {
  const [a = 0, b = 0, ...rest] = id.split('.').map(Number)
  const groups = rest.flatMap(number => {
    const digits = [number & 127]
    for (let left = number >> 7; left > 0; left >>= 7) digits.unshift((left & 127) | 128)
    return digits
  })
  return tlv(0x06, [a * 40 + b, ...groups])
}
const extension = (id: string, value: Uint8Array, critical = false): Buffer =>
  sequence(oid(id), ...(critical ? [tlv(0x01, [0xff])] : []), octets(value))
const name = (common: string): Buffer => sequence(tlv(0x31, sequence(oid('2.5.4.3'), text(0x0c, common))))
const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'))

const sha256 = (...parts: readonly Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()
const number = (value: number | bigint, bytes: number): Buffer => {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64BE(BigInt(value))
  return buffer.subarray(8 - bytes)
}

interface Party {
  readonly key: KeyObject
  /** Its public key as SubjectPublicKeyInfo. */
  readonly spki: Buffer
  /** What logs call it. */
  readonly id: Buffer
}

function party(): Party {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  return { key: privateKey, spki, id: sha256(spki) }
}

// biome-ignore lint/suspicious/noExplicitAny: tests tear pieces out of it, wherever they are
export type Torn = any

export interface BundleOptions {
  readonly issuer?: string
  readonly subject?: string
  /** When it is logged; the certificate is good for ten minutes from `certifiedAt`. */
  readonly loggedAt?: Date
  readonly certifiedAt?: Date
  readonly withoutSct?: boolean
  /** Signs with another key than the certified one. */
  readonly signer?: KeyObject
}

export const ISSUER = 'https://token.actions.example'
export const SUBJECT = 'https://forge.example/acme/aws/release.yml@refs/tags/v1'
const ORIGIN = 'rekor.example'

export class SigstoreWorld {
  readonly #authority = party()
  readonly #certificateLog = party()
  readonly #log = party()
  readonly #founded = new Date('2026-01-01T00:00:00Z')

  #certify(content: (extensions: readonly Buffer[]) => Buffer, extensions: readonly Buffer[]): Buffer {
    const tbs = content(extensions)
    return sequence(tbs, ECDSA_SHA256, bits(sign('sha256', tbs, this.#authority.key)))
  }

  readonly #root = this.#certify(
    extensions =>
      sequence(
        tlv(0xa0, tlv(0x02, [2])),
        integer([1] as unknown as Uint8Array),
        ECDSA_SHA256,
        name('authority'),
        sequence(time(this.#founded), time(new Date('2040-01-01T00:00:00Z'))),
        name('authority'),
        this.#authority.spki,
        tlv(0xa3, sequence(...extensions)),
      ),
    [extension('2.5.29.15', bits(Buffer.of(0b110), 1), true), extension('2.5.29.19', sequence(tlv(0x01, [0xff])), true)],
  )

  /** What a verifier trusts, as a trusted_root.json. */
  get trustedRoot(): string {
    const log = (of: Party): object => ({
      baseUrl: `https://${ORIGIN}`,
      hashAlgorithm: 'SHA2_256',
      publicKey: { rawBytes: of.spki.toString('base64'), keyDetails: 'PKIX_ECDSA_P256_SHA_256', validFor: { start: this.#founded } },
      logId: { keyId: of.id.toString('base64') },
    })
    return JSON.stringify({
      mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
      tlogs: [log(this.#log)],
      ctlogs: [log(this.#certificateLog)],
      certificateAuthorities: [
        {
          subject: { organization: 'test', commonName: 'authority' },
          uri: 'https://fulcio.example',
          certChain: { certificates: [{ rawBytes: this.#root.toString('base64') }] },
          validFor: { start: this.#founded },
        },
      ],
      timestampAuthorities: [],
    })
  }

  /** A bundle as `cosign sign-blob` writes it, with some of its pieces as the options say. */
  bundle(document: Uint8Array, options: BundleOptions = {}): Torn {
    const loggedAt = options.loggedAt ?? new Date('2026-06-01T12:01:00Z')
    const signer = party()
    const certificate = this.#certificate(signer, options)
    const signature = sign('sha256', document, options.signer ?? signer.key)
    const body = Buffer.from(
      JSON.stringify({
        apiVersion: '0.0.1',
        kind: 'hashedrekord',
        spec: {
          data: { hash: { algorithm: 'sha256', value: sha256(document).toString('hex') } },
          signature: { content: signature.toString('base64'), publicKey: { content: certificate.toString('base64') } },
        },
      }),
    )
    const integratedTime = Math.floor(loggedAt.getTime() / 1000)
    const promise = JSON.stringify({ body: body.toString('base64'), integratedTime, logID: this.#log.id.toString('hex'), logIndex: 0 })
    // A log with one entry: its root is that entry's leaf.
    const rootHash = sha256(Buffer.of(0), body)
    const note = `${ORIGIN}\n1\n${rootHash.toString('base64')}\n`
    const noted = Buffer.concat([this.#log.id.subarray(0, 4), sign('sha256', Buffer.from(note), this.#log.key)])
    return {
      mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      verificationMaterial: {
        certificate: { rawBytes: certificate.toString('base64') },
        tlogEntries: [
          {
            logIndex: '0',
            logId: { keyId: this.#log.id.toString('base64') },
            kindVersion: { kind: 'hashedrekord', version: '0.0.1' },
            integratedTime: String(integratedTime),
            inclusionPromise: { signedEntryTimestamp: sign('sha256', Buffer.from(promise), this.#log.key).toString('base64') },
            inclusionProof: {
              logIndex: '0',
              rootHash: rootHash.toString('base64'),
              treeSize: '1',
              hashes: [],
              checkpoint: { envelope: `${note}\n\u2014 ${ORIGIN} ${noted.toString('base64')}\n` },
            },
            canonicalizedBody: body.toString('base64'),
          },
        ],
        timestampVerificationData: { rfc3161Timestamps: [] },
      },
      messageSignature: {
        messageDigest: { algorithm: 'SHA2_256', digest: sha256(document).toString('base64') },
        signature: signature.toString('base64'),
      },
    }
  }

  signature(document: Uint8Array, options: BundleOptions = {}): Uint8Array {
    return bytesOf(JSON.stringify(this.bundle(document, options)))
  }

  #certificate(
    signer: Party,
    { issuer = ISSUER, subject = SUBJECT, certifiedAt = new Date('2026-06-01T12:00:00Z'), withoutSct }: BundleOptions,
  ): Buffer {
    const serial = integer(randomBytes(8))
    const content = (extensions: readonly Buffer[]): Buffer =>
      sequence(
        tlv(0xa0, tlv(0x02, [2])),
        serial,
        ECDSA_SHA256,
        name('authority'),
        sequence(time(certifiedAt), time(new Date(certifiedAt.getTime() + 600_000))),
        sequence(),
        signer.spki,
        tlv(0xa3, sequence(...extensions)),
      )
    const extensions = [
      extension('2.5.29.15', bits(Buffer.of(0x80), 7), true),
      extension('2.5.29.17', sequence(text(0x86, subject)), true),
      extension('1.3.6.1.4.1.57264.1.8', text(0x0c, issuer)),
    ]
    if (withoutSct) return this.#certify(content, extensions)
    const before = content(extensions)
    const timestamp = number(certifiedAt.getTime(), 8)
    const signed = sign(
      'sha256',
      Buffer.concat([
        Buffer.of(0, 0),
        timestamp,
        Buffer.of(0, 1),
        sha256(this.#authority.spki),
        number(before.byteLength, 3),
        before,
        Buffer.of(0, 0),
      ]),
      this.#certificateLog.key,
    )
    const sct = Buffer.concat([
      Buffer.of(0),
      this.#certificateLog.id,
      timestamp,
      Buffer.of(0, 0, 4, 3),
      number(signed.byteLength, 2),
      signed,
    ])
    const list = Buffer.concat([number(sct.byteLength + 2, 2), number(sct.byteLength, 2), sct])
    return this.#certify(content, [...extensions, extension('1.3.6.1.4.1.11129.2.4.2', octets(list))])
  }
}
