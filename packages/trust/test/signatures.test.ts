import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign as signBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { generateKey, readPublicKey, readSecretKey, verifySignature } from '../src/index.ts'
import { blake2b } from '../src/signatures/blake2b.ts'
import { sshBytes, sshNumber } from '../src/signatures/ssh-wire.ts'
import { bytesOf, put, refusal, refuses, run, signify, take, takeText, without, workspace } from './tools.ts'

const directory = workspace('signatures')
const text = 'a document\nof two lines\n'
const document = bytesOf(text)
const file = put(directory, 'document', document)
const other = put(directory, 'other', 'another document\n')

const changed = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))
/** Without what does not matter: how lines end, and what is called untrusted. */
const significant = (signature: Uint8Array): string =>
  Buffer.from(signature)
    .toString('latin1')
    .replaceAll('\r\n', '\n')
    .replace(/^untrusted comment: [^\n]*/, 'untrusted comment: ')
const swapLine = (signature: Uint8Array, line: number, content: string): Uint8Array =>
  bytesOf(
    Buffer.from(signature)
      .toString('utf8')
      .split('\n')
      .map((old, i) => (i === line ? content : old))
      .join('\n'),
  )

test('our BLAKE2b is the one of OpenSSL', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), bytes => {
      assert.equal(Buffer.from(blake2b(bytes, 64)).toString('hex'), createHash('blake2b512').update(bytes).digest('hex'))
    }),
    { numRuns: 60 },
  )
  // A shorter digest is not a longer one cut off. Source: the value that b2sum -l 256 prints for no bytes.
  assert.equal(
    Buffer.from(blake2b(new Uint8Array(), 32)).toString('hex'),
    '0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8',
  )
})

test('minisign verifies what we sign, with keys that we made', { skip: without('minisign') }, async () => {
  const key = generateKey('minisign')
  const pair = await key.export()
  const publicFile = put(directory, 'ours.pub', pair.public)
  const signature = put(directory, 'ours.minisig', key.sign(document, { trustedComment: 'plugin 1.0.0, für alle' }))
  const said = run('minisign', ['-V', '-p', publicFile, '-m', file, '-x', signature])
  assert.match(said, /Signature and comment signature verified/)
  assert.match(said, /plugin 1\.0\.0, für alle/)
  assert.ok(refuses('minisign', ['-V', '-p', publicFile, '-m', other, '-x', signature]))
  const legacy = put(directory, 'legacy.minisig', key.sign(document, { legacy: true }))
  run('minisign', ['-V', '-p', publicFile, '-m', file, '-x', legacy])
})

test('minisign signs with a secret key that we made', { skip: without('minisign') }, async () => {
  const key = generateKey('minisign')
  const secretFile = put(directory, 'made.key', (await key.export()).secret)
  run('minisign', ['-S', '-s', secretFile, '-m', file, '-x', `${file}.made`, '-t', 'from the tool'])
  const verified = verifySignature(document, take(`${file}.made`), key.publicKey.text)
  assert.deepEqual([verified.format, verified.comment], ['minisign', 'from the tool'])
  assert.equal(verified.key.keyId, key.publicKey.keyId)
})

test('we verify what minisign signs, and sign with its keys', { skip: without('minisign') }, async () => {
  const [publicFile, secretFile] = [`${directory}/tool.pub`, `${directory}/tool.key`]
  run('minisign', ['-G', '-W', '-p', publicFile, '-s', secretFile])
  for (const [name, flags] of [
    ['prehashed', ['-H']],
    ['legacy', ['-l']],
  ] as const) {
    const signature = `${file}.${name}`
    run('minisign', ['-S', ...flags, '-s', secretFile, '-m', file, '-x', signature, '-t', name])
    assert.equal(verifySignature(document, take(signature), takeText(publicFile)).comment, name)
    assert.throws(
      () => verifySignature(bytesOf('x'), take(signature), takeText(publicFile)),
      refusal('ERR_SIGNATURE_INVALID', /not of these bytes/),
    )
  }
  const key = await readSecretKey(takeText(secretFile))
  assert.equal(key.publicKey.text, readPublicKey(takeText(publicFile)).text)
  assert.match(takeText(publicFile), new RegExp(`minisign public key ${key.publicKey.keyId}`))
  const ours = put(directory, 'by-their-key.minisig', key.sign(document))
  run('minisign', ['-V', '-p', publicFile, '-m', file, '-x', ours])
})

test('an encrypted minisign key: theirs opens here, ours opens there, a wrong password does not', {
  skip: without('minisign'),
}, async () => {
  const [publicFile, secretFile] = [`${directory}/secret.pub`, `${directory}/secret.key`]
  run('minisign', ['-G', '-p', publicFile, '-s', secretFile], 'hunter2\nhunter2\n')
  const key = await readSecretKey(takeText(secretFile), () => 'hunter2')
  assert.equal(key.publicKey.text, readPublicKey(takeText(publicFile)).text)

  const ours = generateKey('minisign')
  // A tenth of what minisign asks for: the tool reads the cost from the file.
  const cheap = { opsLimit: 1_048_576, memLimit: 33_554_432 }
  const { secret } = await ours.export({ password: 'pässword', cost: cheap })
  const ourFile = put(directory, 'our-secret.key', secret)
  run('minisign', ['-S', '-s', ourFile, '-m', file, '-x', `${file}.sealed`], 'pässword\n')
  assert.equal(verifySignature(document, take(`${file}.sealed`), ours.publicKey.text).key.fingerprint, ours.publicKey.fingerprint)
  assert.equal((await readSecretKey(secret, 'pässword')).publicKey.text, ours.publicKey.text)
  await assert.rejects(readSecretKey(secret, 'password'), refusal('ERR_SIGNATURE_KEY', /password is wrong/))
  await assert.rejects(readSecretKey(secret), refusal('ERR_SIGNATURE_KEY', /has a password, and none was given/))
})

test('a key file that asks for more memory than minisign ever does is refused before it is given any', async () => {
  const { secret } = await generateKey('minisign').export({ password: 'x', cost: { opsLimit: 32_768, memLimit: 16_777_216 } })
  const [comment, body] = secret.split('\n') as [string, string]
  const bytes = Buffer.from(body, 'base64')
  const attempt = (opsLimit: bigint, memLimit: bigint): Promise<unknown> => {
    bytes.writeBigUInt64LE(opsLimit, 2 + 2 + 2 + 32)
    bytes.writeBigUInt64LE(memLimit, 2 + 2 + 2 + 32 + 8)
    return readSecretKey(`${comment}\n${bytes.toString('base64')}\n`, 'x')
  }
  await assert.rejects(attempt(32_768n, 2n ** 40n), refusal('ERR_SIGNATURE_KEY', /asks for 1099511627776 bytes/))
  await assert.rejects(attempt(2n ** 35n, 2n ** 30n), refusal('ERR_SIGNATURE_KEY', /34359738368 operations/))
  // Little for the table, and all the more for what is done side by side.
  await assert.rejects(attempt(2n ** 36n, 16_384n), refusal('ERR_SIGNATURE_KEY', /68719476736 operations/))
})

test('a damaged secret key is refused', async () => {
  const { secret } = await generateKey('minisign').export()
  const [comment, body] = secret.split('\n') as [string, string]
  const bytes = Buffer.from(body, 'base64')
  bytes[100] = (bytes[100] as number) ^ 1
  await assert.rejects(readSecretKey(`${comment}\n${bytes.toString('base64')}\n`), refusal('ERR_SIGNATURE_KEY', /damaged/))
  await assert.rejects(readSecretKey('untrusted comment: x\nAAAA\n'), refusal('ERR_SIGNATURE_KEY'))
  await assert.rejects(readSecretKey('nonsense'), refusal('ERR_SIGNATURE_KEY'))
})

test('signify both ways', { skip: without(signify, 'signify') }, async () => {
  const tool = signify as string
  const [publicFile, secretFile] = [`${directory}/signify.pub`, `${directory}/signify.sec`]
  run(tool, ['-G', '-n', '-p', publicFile, '-s', secretFile])
  run(tool, ['-S', '-s', secretFile, '-m', file, '-x', `${file}.signify`])
  const verified = verifySignature(document, take(`${file}.signify`), takeText(publicFile))
  assert.deepEqual([verified.format, verified.comment], ['signify', undefined])
  assert.throws(() => verifySignature(bytesOf('x'), take(`${file}.signify`), takeText(publicFile)), refusal('ERR_SIGNATURE_INVALID'))

  const key = await readSecretKey(takeText(secretFile))
  const ours = put(directory, 'ours.signify', key.sign(document, { signify: true }))
  assert.match(run(tool, ['-V', '-p', publicFile, '-m', file, '-x', ours]), /Verified/)
  assert.ok(refuses(tool, ['-V', '-p', publicFile, '-m', other, '-x', ours]))

  const made = generateKey('minisign')
  const madeFile = put(directory, 'made-signify.pub', (await made.export()).public)
  const signature = put(directory, 'made.signify', made.sign(document, { signify: true }))
  assert.match(run(tool, ['-V', '-p', madeFile, '-m', file, '-x', signature]), /Verified/)

  run(tool, ['-G', '-p', `${directory}/locked.pub`, '-s', `${directory}/locked.sec`], 'pw\npw\n')
  await assert.rejects(readSecretKey(takeText(`${directory}/locked.sec`)), refusal('ERR_SIGNATURE_KEY', /signify has a password/))
})

test('ssh-keygen both ways', { skip: without('ssh-keygen') }, async () => {
  run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'me@example', '-f', `${directory}/id`])
  const key = await readSecretKey(takeText(`${directory}/id`))
  const publicText = takeText(`${directory}/id.pub`)
  assert.equal(key.publicKey.text, readPublicKey(publicText).text)
  assert.equal(readPublicKey(publicText).comment, 'me@example')
  assert.match(
    run('ssh-keygen', ['-l', '-f', `${directory}/id.pub`]),
    new RegExp(readPublicKey(publicText).fingerprint.replace(/[+]/g, '\\+')),
  )

  run('ssh-keygen', ['-q', '-Y', 'sign', '-n', 'plugwire', '-f', `${directory}/id`, file])
  assert.equal(verifySignature(document, take(`${file}.sig`), publicText).format, 'ssh')
  assert.throws(
    () => verifySignature(bytesOf('x'), take(`${file}.sig`), publicText),
    refusal('ERR_SIGNATURE_INVALID', /not of these bytes/),
  )
  run('ssh-keygen', ['-q', '-Y', 'sign', '-O', 'hashalg=sha256', '-n', 'plugwire', '-f', `${directory}/id`, other])
  verifySignature(take(other), take(`${other}.sig`), publicText)

  const allowed = put(directory, 'allowed', `me@example ${publicText}`)
  const ours = put(directory, 'ours.sig', key.sign(document))
  const verify = (namespace: string, input: string): string[] => [
    '-Y',
    'verify',
    '-f',
    allowed,
    '-I',
    'me@example',
    '-n',
    namespace,
    '-s',
    input,
  ]
  assert.match(run('ssh-keygen', verify('plugwire', ours), text), /Good "plugwire" signature/)
  assert.ok(refuses('ssh-keygen', verify('file', ours), text))
  assert.ok(refuses('ssh-keygen', verify('plugwire', ours), 'x'))

  const made = generateKey('ssh')
  const pair = await made.export({ comment: 'made@here' })
  put(directory, 'made', pair.secret)
  put(directory, 'made.pub', pair.public)
  assert.equal(run('ssh-keygen', ['-y', '-f', `${directory}/made`]).trim(), pair.public.trim())
  const third = put(directory, 'third', 'third\n')
  run('ssh-keygen', ['-q', '-Y', 'sign', '-n', 'plugwire', '-f', `${directory}/made`, third])
  verifySignature(take(third), take(`${third}.sig`), pair.public)
})

for (const [type, ...args] of [
  ['rsa', '-b', '3072'],
  ['ecdsa', '-b', '256'],
  ['ecdsa', '-b', '384'],
  ['ecdsa', '-b', '521'],
] as const) {
  test(`we verify what ssh-keygen signs with ${type} ${args.join(' ')}`, { skip: without('ssh-keygen') }, () => {
    const key = `${directory}/${type}${args[1]}`
    run('ssh-keygen', ['-q', '-t', type, ...args, '-N', '', '-f', key])
    const mine = put(directory, `${type}${args[1]}.txt`, document)
    run('ssh-keygen', ['-q', '-Y', 'sign', '-n', 'plugwire', '-f', key, mine])
    const signature = take(`${mine}.sig`)
    assert.equal(verifySignature(document, signature, takeText(`${key}.pub`)).format, 'ssh')
    assert.throws(() => verifySignature(changed(document, 3), signature, takeText(`${key}.pub`)), refusal('ERR_SIGNATURE_INVALID'))
  })
}

test('a signature by a security key counts when ssh-keygen says so, and only if somebody touched it', {
  skip: without('ssh-keygen'),
}, () => {
  // There is no such device here: its part is played by a plain key, as PROTOCOL.u2f describes it.
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const type = 'sk-ssh-ed25519@openssh.com'
  const blob = sshBytes(type, Buffer.from(publicKey.export({ format: 'jwk' }).x as string, 'base64url'), 'ssh:')
  const line = `${type} ${blob.toString('base64')}`
  const sha256 = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest()
  const make = (flags: number): Uint8Array => {
    const message = Buffer.concat([
      Buffer.from('SSHSIG'),
      sshBytes('plugwire', '', 'sha512', createHash('sha512').update(document).digest()),
    ])
    const device = Buffer.concat([Buffer.from([flags]), sshNumber(7)])
    const signature = signBytes(null, Buffer.concat([sha256('ssh:'), device, sha256(message)]), privateKey)
    const packed = Buffer.concat([
      Buffer.from('SSHSIG'),
      sshNumber(1),
      sshBytes(blob, 'plugwire', '', 'sha512', Buffer.concat([sshBytes(type, signature), device])),
    ])
    return bytesOf(`-----BEGIN SSH SIGNATURE-----\n${packed.toString('base64').replace(/.{1,70}/g, '$&\n')}-----END SSH SIGNATURE-----\n`)
  }
  const signature = make(1)
  const allowed = put(directory, 'allowed-sk', `me ${line}\n`)
  const path = put(directory, 'sk.sig', signature)
  assert.match(run('ssh-keygen', ['-Y', 'verify', '-f', allowed, '-I', 'me', '-n', 'plugwire', '-s', path], text), /Good/)
  assert.equal(verifySignature(document, signature, line).format, 'ssh')
  assert.throws(() => verifySignature(changed(document, 0), signature, line), refusal('ERR_SIGNATURE_INVALID'))
  assert.throws(() => verifySignature(document, make(0), line), refusal('ERR_SIGNATURE_INVALID', /nobody touched/))
})

for (const format of ['minisign', 'ssh'] as const) {
  const key = generateKey(format)
  const signature = key.sign(document)
  const { text: publicText } = key.publicKey

  test(`${format}: another key, a changed document, a signature of another file`, () => {
    verifySignature(document, signature, publicText)
    assert.throws(
      () => verifySignature(document, signature, generateKey(format).publicKey.text),
      refusal('ERR_SIGNATURE_INVALID', /not by/),
    )
    assert.throws(() => verifySignature(document, generateKey(format).sign(document), publicText), refusal('ERR_SIGNATURE_INVALID'))
    assert.throws(
      () => verifySignature(document, key.sign(bytesOf('other')), publicText),
      refusal('ERR_SIGNATURE_INVALID', /not of these bytes/),
    )
    for (let i = 0; i < document.length; i++) {
      assert.throws(() => verifySignature(changed(document, i), signature, publicText), refusal('ERR_SIGNATURE_INVALID'))
    }
  })

  test(`${format}: every truncation and every extra byte is refused`, () => {
    // The line feed at the end is the one byte that may be missing.
    for (let length = 0; length < signature.length - 1; length++) {
      assert.throws(
        () => verifySignature(document, signature.subarray(0, length), publicText),
        /ERR_SIGNATURE_|PluginError/,
        `cut at ${length}`,
      )
    }
    for (const extra of ['\n', 'x', ' ', '\0', '\nuntrusted comment: x\n']) {
      assert.throws(
        () => verifySignature(document, bytesOf(Buffer.from(signature).toString() + extra), publicText),
        refusal('ERR_SIGNATURE_MALFORMED'),
      )
    }
  })

  test(`${format}: a changed byte anywhere is refused, except in what is called untrusted`, () => {
    const untrusted = format === 'minisign' ? ['untrusted comment: '.length, Buffer.from(signature).indexOf('\n')] : [0, 0]
    for (let i = 0; i < signature.length; i++) {
      if (i >= (untrusted[0] as number) && i < (untrusted[1] as number)) continue
      assert.throws(() => verifySignature(document, changed(signature, i), publicText), { name: 'PluginError' }, `byte ${i}`)
    }
  })

  test(`${format}: noise is refused with a code, whatever it is`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(signature.length - 1), (noise, at) => {
        const spliced = new Uint8Array([...signature.subarray(0, at), ...noise, ...signature.subarray(at + noise.length)])
        if (significant(spliced) === significant(signature)) return
        assert.throws(() => verifySignature(document, spliced, publicText), { name: 'PluginError' })
      }),
      { numRuns: 500 },
    )
  })
}

test('the trusted comment is what its name says', () => {
  const key = generateKey('minisign')
  const signature = key.sign(document, { trustedComment: 'version 1' })
  const replaced = swapLine(signature, 2, 'trusted comment: version 2')
  assert.throws(() => verifySignature(document, replaced, key.publicKey.text), refusal('ERR_SIGNATURE_INVALID', /trusted comment/))
  const foreign = Buffer.from(key.sign(bytesOf('x'), { trustedComment: 'version 2' }))
    .toString()
    .split('\n')
  const grafted = swapLine(swapLine(signature, 2, foreign[2] as string), 3, foreign[3] as string)
  assert.throws(() => verifySignature(document, grafted, key.publicKey.text), refusal('ERR_SIGNATURE_INVALID', /trusted comment/))
  assert.throws(() => key.sign(document, { trustedComment: 'two\nlines' }), TypeError)
})

test('an SSH signature for another purpose does not count', () => {
  const key = generateKey('ssh')
  for (const namespace of ['git', 'file', '', 'plugwire2']) {
    assert.throws(
      () => verifySignature(document, key.sign(document, { namespace }), key.publicKey.text),
      refusal('ERR_SIGNATURE_INVALID', /was made for/),
    )
  }
})

test('a key is known by one fingerprint, and says nothing of its secret', async () => {
  const key = generateKey('ssh')
  assert.match(key.publicKey.fingerprint, /^SHA256:[A-Za-z0-9+/]{43}$/)
  assert.doesNotMatch(JSON.stringify(key), /secret|"d"/)
  const { secret } = await key.export()
  assert.equal((await readSecretKey(secret)).publicKey.fingerprint, key.publicKey.fingerprint)
  await assert.rejects(key.export({ password: 'x' }), refusal('ERR_SIGNATURE_KEY', /ssh-keygen -p/))
})

test('an encrypted SSH key is refused with advice', { skip: without('ssh-keygen') }, async () => {
  run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'password', '-f', `${directory}/locked`])
  await assert.rejects(
    readSecretKey(takeText(`${directory}/locked`)),
    refusal('ERR_SIGNATURE_KEY', /encrypted .*ssh-keygen -Y sign -n plugwire/),
  )
})

test('what is no public key', () => {
  const { text: good } = generateKey('ssh').publicKey
  const [type, base64] = good.split(' ') as [string, string]
  for (const bad of [
    '',
    'x',
    '# only a comment',
    `${good}\n${good}`,
    `ssh-rsa ${base64}`,
    `${type} ${base64.slice(0, -4)}`,
    `${type} ${base64}AAAA`,
    'ssh-dss AAAAB3NzaC1kc3M=',
  ]) {
    assert.throws(() => readPublicKey(bad), refusal('ERR_SIGNATURE_KEY'), bad)
  }
  assert.throws(() => readPublicKey('x'.repeat(100_000)), refusal('ERR_SIGNATURE_KEY', /more than/))
})
