// AutoMTLS: one-time certificates on both sides, whatever the protocol. Source: go-plugin client.go and server.go, mtls.go.

import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'
import { createIdentity, type TlsIdentity } from 'plugwire/driver'
import { demand, Unmet } from '../../check.ts'
import type { GoCheck, GoSubject } from '../check.ts'
import type { GoPeer } from '../go-peer.ts'
import { RawGrpc } from '../raw-grpc.ts'

function pem(field: string): string {
  const padded = Buffer.from(field, 'base64').toString('base64')
  return `-----BEGIN CERTIFICATE-----\n${padded.replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`
}

async function launchSecure(subject: GoSubject): Promise<{ peer: GoPeer; own: TlsIdentity; certificate: string }> {
  // The curve that Go hosts use.
  const own = await createIdentity('P-521')
  const peer = await subject.launch({ clientCertificate: own.certificate })
  const field = peer.fields[5] ?? ''
  demand(field.length > 50, () => `no certificate in the sixth field: ${peer.line}`)
  return { peer, own, certificate: pem(field) }
}

async function shake(peer: GoPeer, own: Partial<TlsIdentity>, certificate: string): Promise<TLSSocket> {
  const socket = await peer.connect()
  const secured = connect({
    socket,
    servername: 'localhost',
    ca: certificate,
    ...(own.key !== undefined && { key: own.key, cert: own.certificate as string }),
    ALPNProtocols: ['h2'],
  })
  secured.on('error', () => {})
  const failed = new Promise<never>((_resolve, reject) => secured.once('error', cause => reject(new Unmet(`TLS: ${cause.message}`))))
  await peer.within(Promise.race([once(secured, 'secureConnect'), failed]), 'no TLS handshake')
  return secured
}

/** Of TLS 1.3 a client hears only with its first read that it is refused. */
async function isRefused(peer: GoPeer, own: Partial<TlsIdentity>, certificate: string): Promise<boolean> {
  try {
    const secured = await shake(peer, own, certificate)
    const grpc = await RawGrpc.over(secured, 1_000, true)
    const answer = await grpc.unary('/grpc.health.v1.Health/Check')
    grpc.close()
    return answer.status === -1
  } catch {
    return true
  }
}

export const tlsChecks: readonly GoCheck[] = [
  {
    id: 'tls.certificate',
    demands: 'to a host that sends a certificate it answers with its own: base64 of the DER without padding, for localhost',
    otherwise: '"error parsing server cert", or "certificate is not valid for any names"',
    look: async subject => {
      const { peer, certificate } = await launchSecure(subject)
      demand(!(peer.fields[5] ?? '').includes('='), () => 'the base64 is padded: "illegal base64 data"')
      const parsed = new X509Certificate(certificate)
      demand(parsed.checkHost('localhost') !== undefined, () => `its names are ${parsed.subjectAltName ?? 'none'}`)
      const now = Date.now()
      demand(
        Date.parse(parsed.validFrom) <= now && Date.parse(parsed.validTo) > now,
        () => `valid from ${parsed.validFrom} to ${parsed.validTo}`,
      )
      return `${parsed.publicKey.asymmetricKeyDetails?.namedCurve ?? parsed.publicKey.asymmetricKeyType}`
    },
  },
  {
    id: 'tls.fresh',
    demands: 'its certificate is another one at each launch',
    otherwise: 'who has the key of one launch can read all of them',
    look: async subject => {
      const [one, two] = [await launchSecure(subject), await launchSecure(subject)]
      demand(one.certificate !== two.certificate, () => 'twice the same')
      return 'two launches, two certificates'
    },
  },
  {
    id: 'tls.connects',
    demands: 'it speaks TLS 1.2 or later with the host whose certificate it got, and offers HTTP/2',
    otherwise: '"transport: authentication handshake failed: missing selected ALPN property"',
    look: async subject => {
      const { peer, own, certificate } = await launchSecure(subject)
      const secured = await shake(peer, own, certificate)
      const protocol = secured.getProtocol()
      demand(protocol === 'TLSv1.3' || protocol === 'TLSv1.2', () => `${protocol}`)
      if (subject.protocol === 'grpc') demand(secured.alpnProtocol === 'h2', () => `ALPN ${secured.alpnProtocol || 'none'}`)
      return `${protocol}`
    },
  },
  {
    id: 'tls.calls',
    protocol: 'grpc',
    demands: 'calls work over it',
    otherwise: 'nothing works',
    look: async subject => {
      const { peer, own, certificate } = await launchSecure(subject)
      const grpc = await RawGrpc.over(await shake(peer, own, certificate), subject.deadlineMs, true)
      const answer = await grpc.unary('/grpc.health.v1.Health/Check')
      demand(answer.status === 0, () => `status ${answer.status}: ${answer.message}`)
      return 'they do'
    },
  },
  {
    id: 'tls.refuses-strangers',
    protocol: 'grpc',
    demands: 'it answers nobody without a certificate, nor with another one',
    otherwise: 'every process of the machine can use it',
    look: async subject => {
      const { peer, certificate } = await launchSecure(subject)
      demand(await isRefused(peer, {}, certificate), () => 'it answered a client without a certificate')
      demand(await isRefused(peer, await createIdentity('P-256'), certificate), () => 'it answered a client with a certificate of its own')
      return 'both are refused'
    },
  },
]
