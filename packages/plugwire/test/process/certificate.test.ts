import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import type { Curve } from '../../src/process/certificate.ts'
import { certificateField, certificateFromField, createIdentity } from '../../src/process/certificate.ts'
import { integer, objectId, time } from '../../src/process/der.ts'

const directory = mkdtempSync(join(tmpdir(), 'plugwire-certificate-'))
after(() => rmSync(directory, { recursive: true }))

const curves: readonly Curve[] = ['P-256', 'P-521']
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

for (const curve of curves) {
  describe(`a certificate with ${curve}`, () => {
    const identity = createIdentity(curve)
    const parsed = new X509Certificate(identity.certificate)

    test('says what go-plugin writes', () => {
      assert.deepEqual(parsed.raw, Buffer.from(identity.der))
      assert.equal(parsed.subject, 'O=HashiCorp\nCN=localhost')
      assert.equal(parsed.issuer, parsed.subject)
      assert.equal(parsed.subjectAltName, 'DNS:localhost')
      assert.equal(parsed.ca, true)
      // node:crypto calls the extended usage `keyUsage`.
      assert.deepEqual(parsed.keyUsage, ['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.1'])
      assert.ok(parsed.verify(parsed.publicKey))
      assert.ok(parsed.checkPrivateKey(createPrivateKey(identity.key)))
      assert.equal(parsed.publicKey.asymmetricKeyDetails?.namedCurve, curve === 'P-256' ? 'prime256v1' : 'secp521r1')
    })

    test('is valid from half a minute ago for 262 980 hours', () => {
      const [from, to] = [Date.parse(parsed.validFrom), Date.parse(parsed.validTo)]
      assert.equal(to - from, 262_980 * 3_600_000 + 30_000)
      assert.ok(from <= Date.now() - 29_000)
    })

    test('is read by openssl as go-plugin’s own is', { skip: skipWithout('openssl', 'version') }, () => {
      const file = join(directory, `${curve}.pem`)
      writeFileSync(file, identity.certificate)
      const text = execFileSync('openssl', ['x509', '-in', file, '-noout', '-text'], { encoding: 'utf8' })
      assert.match(text, /Version: 3 /)
      assert.match(text, new RegExp(`Signature Algorithm: ecdsa-with-SHA${curve === 'P-256' ? 256 : 512}`))
      assert.match(text, /Issuer: O ?= ?HashiCorp, CN ?= ?localhost/)
      const extensions = [...text.matchAll(/^ {12}(X509v3 .*?): ?(critical)?\s*$\n^ {16}(.*?)\s*$/gm)].map(match => match.slice(1))
      assert.deepEqual(
        extensions.map(([name, critical]) => [name, critical]),
        [
          ['X509v3 Key Usage', 'critical'],
          ['X509v3 Extended Key Usage', undefined],
          ['X509v3 Basic Constraints', 'critical'],
          ['X509v3 Subject Key Identifier', undefined],
          ['X509v3 Subject Alternative Name', undefined],
        ],
      )
      assert.equal(extensions[0]?.[2], 'Digital Signature, Key Encipherment, Key Agreement, Certificate Sign')
      assert.equal(extensions[1]?.[2], 'TLS Web Client Authentication, TLS Web Server Authentication')
      assert.equal(extensions[2]?.[2], 'CA:TRUE')
      for (const purpose of ['sslclient', 'sslserver']) {
        assert.match(
          execFileSync('openssl', ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', file, file], { encoding: 'utf8' }),
          /: OK/,
        )
      }
    })

    test('passes the check that a Go peer makes', { skip: skipWithout('go', 'version') }, () => {
      const folder = join(directory, `go-${curve}`)
      mkdirSync(folder)
      writeFileSync(join(folder, 'go.mod'), 'module check\n\ngo 1.20\n')
      writeFileSync(join(folder, 'main.go'), goCheck)
      const output = execFileSync('go', ['run', '.'], {
        cwd: folder,
        input: identity.certificate,
        encoding: 'utf8',
        env: { ...process.env, GOFLAGS: '-mod=mod' },
      })
      assert.equal(output, `${curve} true O=HashiCorp localhost 53\n`)
    })
  })
}

test('two identities share nothing', () => {
  const [one, other] = [createIdentity(), createIdentity()].map(identity => new X509Certificate(identity.certificate))
  assert.notEqual(one?.serialNumber, other?.serialNumber)
  assert.notDeepEqual(one?.publicKey.export({ type: 'spki', format: 'der' }), other?.publicKey.export({ type: 'spki', format: 'der' }))
})

test('a certificate comes through field 6, which has no padding', () => {
  // Lengths differ from one signature to the next, so that some of these need padding and some do not.
  const seen = new Set<number>()
  for (let count = 0; count < 40; count++) {
    const { der, certificate } = createIdentity()
    const field = certificateField(der)
    assert.match(field, /^[A-Za-z0-9+/]+$/)
    assert.equal(certificateFromField(field), certificate)
    assert.deepEqual(new X509Certificate(certificateFromField(field)).raw, Buffer.from(der))
    seen.add(der.length % 3)
  }
  assert.ok(seen.size > 1)
})

test('an organization of one’s own', () => {
  assert.equal(new X509Certificate(createIdentity('P-256', { organization: 'Example' }).certificate).subject, 'O=Example\nCN=localhost')
})

test('elements of DER', () => {
  assert.equal(hex(integer(Uint8Array.of(0, 0))), '020100')
  assert.equal(hex(integer(Uint8Array.of(0x80))), '02020080')
  assert.equal(hex(integer(Uint8Array.of(0, 0x7f))), '02017f')
  assert.equal(hex(objectId('1.2.840.10045.4.3.2')), '06082a8648ce3d040302')
  assert.equal(Buffer.from(time(new Date('2049-12-31T23:59:59.900Z'))).toString('latin1'), '\x17\x0d491231235959Z')
  assert.equal(Buffer.from(time(new Date('2050-01-01T00:00:00Z'))).toString('latin1'), '\x18\x0f20500101000000Z')
})

function skipWithout(program: string, argument: string): string | false {
  try {
    execFileSync(program, [argument], { stdio: 'ignore' })
    return false
  } catch {
    return `${program} is not on the path`
  }
}

const goCheck = `package main

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
)

func main() {
	text, _ := io.ReadAll(os.Stdin)
	block, _ := pem.Decode(text)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: pool, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			panic(err)
		}
	}
	fmt.Println(leaf.PublicKey.(*ecdsa.PublicKey).Params().Name, leaf.IsCA, "O="+leaf.Subject.Organization[0], leaf.DNSNames[0], int(leaf.KeyUsage))
}
`
