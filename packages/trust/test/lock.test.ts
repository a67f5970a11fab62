import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { uptime } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import {
  emptyLock,
  encodeLock,
  type Lock,
  lockPlugin,
  readLock,
  readLockFile,
  unlockPlugin,
  updateLockFile,
  type Verdict,
  verify,
  verifyAndLock,
} from '../src/index.ts'
import { acme, type manifestOf, policy, release } from './samples.ts'
import { bytesOf, put, refusal, run, without, workspace } from './tools.ts'

const directory = workspace('lock')
const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}.js`, import.meta.url))

const verdictOf = (fields: Parameters<typeof manifestOf>[0] = {}): Promise<Verdict> => verify({ ...release(fields, acme), policy })

test('a lock says version, digests, signer, highest version and source, and reads what it wrote', async () => {
  const first = lockPlugin(emptyLock, await verdictOf(), { source: 'npm:@acme/aws@2.1.0', request: 'npm:@acme/aws@^2' })
  const bytes = encodeLock(first)
  assert.deepEqual(readLock(bytes), first)
  assert.deepEqual(encodeLock(readLock(bytes)), bytes)
  const document = JSON.parse(Buffer.from(bytes).toString())
  assert.equal(document.lockVersion, 1)
  assert.deepEqual(document.requests, { 'npm:@acme/aws@^2': { plugin: '@acme/aws', version: '2.1.0' } })
  const plugin = document.plugins['@acme/aws']
  assert.equal(plugin.highest, '2.1.0')
  assert.deepEqual(plugin.signer, { fingerprint: acme.publicKey.fingerprint, key: acme.publicKey.text, publisher: 'acme' })
  assert.match(plugin.versions['2.1.0'].platforms['linux-x64'][0], /^files:sha512:/)
  assert.equal(plugin.versions['2.1.0'].source, 'npm:@acme/aws@2.1.0')
})

test('the order in which plugins came does not show', async () => {
  const [a, b] = [await verdictOf({ name: '@acme/a' }), await verdictOf({ name: '@acme/b' })]
  const add = (lock: Lock, verdict: Verdict): Lock => lockPlugin(lock, verdict, { source: 'x' })
  assert.deepEqual(encodeLock(add(add(emptyLock, a), b)), encodeLock(add(add(emptyLock, b), a)))
  // A plugin is lines of its own, so that two branches that add one each merge.
  const [without, with_] = [encodeLock(add(emptyLock, b)), encodeLock(add(add(emptyLock, b), a))].map(bytes =>
    Buffer.from(bytes).toString().split('\n'),
  )
  assert.deepEqual(
    without!.filter(line => !with_!.includes(line)),
    [],
  )
})

test('versions stand side by side, the highest never falls, and leaving one out forgets what led there', async () => {
  let lock = lockPlugin(emptyLock, await verdictOf(), { source: 'x', request: 'new' })
  lock = lockPlugin(lock, await verdictOf({ version: '1.0.0' }), { source: 'x', request: 'old' })
  assert.deepEqual([...lock.plugins.get('@acme/aws')!.versions.keys()], ['2.1.0', '1.0.0'])
  assert.equal(lock.plugins.get('@acme/aws')?.highest, '2.1.0')
  const less = unlockPlugin(unlockPlugin(lock, '@acme/aws', '2.1.0'), '@acme/aws', '1.0.0')
  assert.deepEqual([less.plugins.get('@acme/aws')?.highest, less.requests.size], ['2.1.0', 0])
  assert.equal(less.plugins.get('@acme/aws')?.signer?.fingerprint, acme.publicKey.fingerprint)
  assert.deepEqual(readLock(encodeLock(less)), less)
  assert.deepEqual(unlockPlugin(lock, '@acme/aws'), emptyLock)
})

test('what is accepted without a signature, since the lock holds it, does not unpin its signer', async () => {
  const signed = release({}, acme)
  const digest = { ...policy, require: 'digest' } as const
  const lock = lockPlugin(emptyLock, await verify({ ...signed, policy: digest }), { source: 'x' })
  const locked = lock.plugins.get('@acme/aws')
  const bare = await verify({ manifest: signed.manifest, signatures: [], policy: digest, locked })
  assert.equal(bare.basis, 'locked')
  assert.equal(lockPlugin(lock, bare, { source: 'x' }), lock)
})

test('digests of an imported release stand beside ours', async () => {
  const digests = new Map([
    ['linux-x64', ['archive:sha256:00']],
    ['darwin-x64', ['archive:sha256:11']],
  ])
  const lock = lockPlugin(emptyLock, await verdictOf(), { source: 'x', digests })
  const { platforms } = lock.plugins.get('@acme/aws')!.versions.get('2.1.0')!
  assert.deepEqual(platforms.get('darwin-x64'), ['archive:sha256:11'])
  assert.deepEqual(
    platforms.get('linux-x64')?.map(line => line.split(':')[0]),
    ['archive', 'files'],
  )
})

test('a merge conflict is named with its line', async () => {
  const text = Buffer.from(encodeLock(lockPlugin(emptyLock, await verdictOf(), { source: 'x' }))).toString()
  const lines = text.split('\n')
  for (const newline of ['\n', '\r\n']) {
    const conflict = [...lines.slice(0, 4), '<<<<<<< HEAD', lines[4], '=======', lines[4], '>>>>>>> theirs', ...lines.slice(5)].join(
      newline,
    )
    assert.throws(
      () => readLock(bytesOf(conflict), 'my/plugwire.lock'),
      refusal('ERR_LOCK_MALFORMED', /my\/plugwire\.lock holds a merge conflict at line 5\. Keep what you want/),
    )
  }
  const file = join(directory, 'conflict.lock')
  const conflict = `<<<<<<< HEAD\n${text}=======\n${text}>>>>>>> theirs\n`
  writeFileSync(file, conflict)
  await assert.rejects(readLockFile(file), refusal('ERR_LOCK_MALFORMED', /line 1/))
  await assert.rejects(
    updateLockFile(file, () => emptyLock),
    refusal('ERR_LOCK_MALFORMED'),
  )
  assert.equal(readFileSync(file, 'utf8'), conflict)
})

test('git merges what two branches did to different plugins', { skip: without('git') }, async () => {
  const add = async (lock: Lock, name: string, version: string): Promise<Lock> =>
    lockPlugin(lock, await verdictOf({ name, version }), { source: `test:${name}@${version}`, request: `test:${name}` })
  let base = emptyLock
  for (const name of ['@acme/d', '@acme/h', '@acme/m']) base = await add(base, name, '1.0.0')
  const write = (name: string, lock: Lock): string => put(directory, name, encodeLock(lock))
  const mine = write('mine', await add(await add(base, '@acme/a', '1.0.0'), '@acme/h', '1.1.0'))
  const theirs = write('theirs', await add(await add(base, '@acme/z', '1.0.0'), '@acme/d', '1.2.0'))
  const merged = readLock(bytesOf(run('git', ['merge-file', '-p', mine, write('base', base), theirs])))
  assert.deepEqual([...merged.plugins].map(([name, { highest }]) => `${name} ${highest}`).sort(), [
    '@acme/a 1.0.0',
    '@acme/d 1.2.0',
    '@acme/h 1.1.0',
    '@acme/m 1.0.0',
    '@acme/z 1.0.0',
  ])
  // And what it cannot merge is what we refuse, as git writes it.
  const other = write('other', await add(base, '@acme/h', '1.3.0'))
  const conflict = spawnSync('git', ['merge-file', '-p', mine, write('base', base), other], { encoding: 'utf8' })
  assert.throws(() => readLock(bytesOf(conflict.stdout)), refusal('ERR_LOCK_MALFORMED', /merge conflict at line \d+/))
})

test('what is no lock is refused with the place', () => {
  const lock = (fields: object): string => JSON.stringify({ lockVersion: 1, plugins: {}, requests: {}, ...fields })
  const plugin = (fields: object): string => lock({ plugins: { a: { highest: '1.0.0', signer: null, versions: {}, ...fields } } })
  const version = (fields: object): string =>
    plugin({ versions: { '1.0.0': { manifest: 'ab'.repeat(64), source: '', platforms: {}, ...fields } } })
  readLock(bytesOf(version({})))
  readLock(bytesOf(`\n\n  ${version({})}  \n`)) // A merge leaves its own layout.
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /line 1: it ends too early/],
    ['{\n"lockVersion": 1,\n"lockVersion": 1}', /line 3: the key "lockVersion" stands there twice/],
    ['[]', /no object/],
    [lock({ lockVersion: 2 }), /version 2; this plugwire knows version 1/],
    [lock({ lockVersion: '1' }), /no lockVersion/],
    [lock({ more: 1 }), /"more"/],
    [lock({ plugins: [] }), /plugins of the document is no object/],
    [lock({ plugins: { '../x': { highest: '1.0.0', signer: null, versions: {} } } }), /no name of a plugin/],
    [lock({ requests: { x: { plugin: 'a', version: '1.0.0' } } }), /leads "x" to a 1\.0\.0, which is not in the lock/],
    [plugin({ highest: 'x' }), /highest/],
    [plugin({ signer: 'me' }), /signer of "a"/],
    [plugin({ signer: { publisher: 'x' } }), /no text as fingerprint/],
    [plugin({ versions: { '2.0.0': { manifest: 'ab'.repeat(64), source: '', platforms: {} } } }), /higher than its highest/],
    [plugin({ versions: { x: {} } }), /no semver/],
    [version({ manifest: 'abc' }), /no SHA-512/],
    [version({ platforms: { any: 'x' } }), /platforms\.any/],
  ]
  for (const [text, reason] of cases) assert.throws(() => readLock(bytesOf(text)), refusal('ERR_LOCK_MALFORMED', reason), text)
})

test('a file that is not there is an empty lock; one that did not change is not written', async () => {
  const file = join(directory, 'new.lock')
  assert.equal(await readLockFile(file), emptyLock)
  await updateLockFile(file, lock => lock)
  assert.throws(() => statSync(file), { code: 'ENOENT' })
  const verdict = await verdictOf()
  const written = await updateLockFile(file, lock => lockPlugin(lock, verdict, { source: 'x' }))
  assert.deepEqual(await readLockFile(file), written)
  const { mtimeMs, ino } = statSync(file)
  await updateLockFile(file, lock => lock)
  assert.deepEqual([statSync(file).mtimeMs, statSync(file).ino], [mtimeMs, ino])
  assert.deepEqual(
    readdirSync(directory).filter(name => name.startsWith('.')),
    [],
  )
})

test('what is verified is recorded in the same step, against what the file says then', async () => {
  const file = join(directory, 'step.lock')
  const [old, newer] = [release({ version: '1.0.0' }, acme), release({ version: '2.0.0' }, acme)]
  const lock = (what: typeof old): Promise<Verdict> => verifyAndLock(file, { ...what, policy }, { source: 'x' })
  assert.equal((await lock(newer)).manifest.version, '2.0.0')
  const { ino } = statSync(file)
  await lock(newer)
  assert.equal(statSync(file).ino, ino, 'what it says already is not written again')
  await assert.rejects(lock(old), refusal('ERR_TRUST_DOWNGRADE'))
  // Whichever comes first, the lower one is never the last word.
  const other = join(directory, 'race.lock')
  const results = await Promise.allSettled([old, newer].map(what => verifyAndLock(other, { ...what, policy }, { source: 'x' })))
  assert.equal(results[1]?.status, 'fulfilled')
  assert.equal((await readLockFile(other)).plugins.get('@acme/aws')?.highest, '2.0.0')
})

test('mode and links of a file are kept', { skip: process.platform === 'win32' ? 'there are no modes' : false }, async () => {
  const file = join(directory, 'real.lock')
  await updateLockFile(file, () => ({ ...emptyLock }))
  chmodSync(file, 0o640)
  symlinkSync('real.lock', join(directory, 'link.lock'))
  const verdict = await verdictOf()
  await updateLockFile(join(directory, 'link.lock'), lock => lockPlugin(lock, verdict, { source: 'x' }))
  assert.equal(statSync(file).mode & 0o777, 0o640)
  assert.equal((await readLockFile(file)).plugins.size, 1)
})

test('a change that throws leaves the file as it was, and the next one may come', async () => {
  const file = join(directory, 'throws.lock')
  await assert.rejects(
    updateLockFile(file, () => Promise.reject(new Error('no'))),
    /no/,
  )
  await updateLockFile(file, () => ({ ...emptyLock }))
  await assert.rejects(
    updateLockFile(join(directory, 'nowhere', 'x.lock'), () => ({ ...emptyLock })),
    refusal('ERR_LOCK_WRITE', /ENOENT/),
  )
})

type Child = ChildProcessByStdio<Writable, Readable, null>

function start(name: string, ...args: readonly string[]): Child {
  return spawn(process.execPath, [fixture(name), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, NODE_EXTRA_CA_CERTS: undefined },
  })
}

/** The child's next output. */
const said = async (child: Child): Promise<string> => String((await once(child.stdout, 'data'))[0])

const ended = async (child: Child): Promise<number | null> =>
  child.exitCode !== null || child.signalCode !== null ? child.exitCode : ((await once(child, 'exit'))[0] as number | null)

test('a change that waits for another one of this process waits no longer than for others', async () => {
  const file = join(directory, 'nested.lock')
  const inner = (options: object): Promise<Lock> => updateLockFile(file, lock => lock, options)
  const attempts: Promise<unknown>[] = []
  await updateLockFile(file, async lock => {
    // From inside it would wait for itself.
    await assert.rejects(inner({ waitMs: 20 }), refusal('ERR_LOCK_BUSY', new RegExp(`process ${process.pid}`)))
    const stop = new AbortController()
    const waiting = inner({ signal: stop.signal })
    stop.abort(new Error('enough'))
    await assert.rejects(waiting, /enough/)
    attempts.push(inner({}))
    return lock
  })
  await Promise.all(attempts)
})

test('two processes and ours write at once, and nothing that was written is lost', async () => {
  const file = join(directory, 'crowd.lock')
  const children = [0, 1].map(i => start('locks-many', file, String(i * 100), '25'))
  await Promise.all(children.map(said))
  for (const child of children) child.stdin.write('go\n')
  for (const child of children) child.stdout.resume()
  const verdicts = await Promise.all(Array.from({ length: 15 }, (_, i) => verdictOf({ name: `@acme/n${i}` })))
  await Promise.all([
    ...children.map(ended),
    ...verdicts.map(verdict => updateLockFile(file, lock => lockPlugin(lock, verdict, { source: 'x' }), { waitMs: 50_000 })),
  ])
  assert.deepEqual(
    children.map(child => child.exitCode),
    [0, 0],
  )
  assert.equal((await readLockFile(file)).plugins.size, 25 + 25 + 15)
  assert.deepEqual(
    readdirSync(directory).filter(name => name.startsWith('.crowd')),
    [],
  )
})

test('kill -9 at any instant leaves the old file or the new one, and the next writer is not held up', async () => {
  const crash = join(directory, 'crash')
  mkdirSync(crash)
  const file = join(crash, 'plugwire.lock')
  let seen = 0
  let torn = 0
  // At least 25 times, and until some have been hit between making a file and being done with it: otherwise nothing was tried.
  for (let round = 0; round < 25 || (torn < 3 && round < 250); round++) {
    const child = start('locks-many', file, '0', '0')
    await said(child)
    child.stdin.write('go\n')
    await said(child)
    // A different instant each time: the numbers of writes it has done, and then some microseconds.
    for (let i = 0; i < round % 4; i++) await said(child)
    const until = performance.now() + ((round * 7) % 11)
    while (performance.now() < until);
    child.kill('SIGKILL')
    await ended(child)
    if (readdirSync(crash).length > 1) torn++
    const lock = await readLockFile(file)
    assert.ok(lock.plugins.size >= seen, 'what was there before is there still')
    seen = lock.plugins.size
  }
  assert.ok(seen > 0 && torn >= 3, `${torn} were hit in the middle`)
  // Whatever the dead ones left is cleared away by the next one that writes.
  await updateLockFile(file, lock => ({ ...lock, plugins: new Map() }), { waitMs: 5_000 })
  assert.deepEqual(readdirSync(crash), ['plugwire.lock'])
})

test('who holds a lock holds up others until it ends, however it ends', async () => {
  const file = join(directory, 'held.lock')
  const child = start('holds-lock', file)
  assert.equal(await said(child), 'holding\n')
  await assert.rejects(
    updateLockFile(file, () => ({ ...emptyLock }), { waitMs: 50 }),
    (error: { code?: string; facts?: { owner: string } }) => {
      assert.equal(error.code, 'ERR_LOCK_BUSY')
      assert.match(String(error.facts?.owner), new RegExp(`\\.${child.pid}\\.`))
      return true
    },
  )
  const cancelled = new AbortController()
  cancelled.abort(new Error('enough'))
  await assert.rejects(
    updateLockFile(file, () => ({ ...emptyLock }), { signal: cancelled.signal }),
    /enough/,
  )
  const waiting = updateLockFile(file, () => ({ ...emptyLock }), { waitMs: 50_000 })
  child.kill('SIGKILL')
  await waiting
  assert.deepEqual(await readLockFile(file), emptyLock)
})

test('a claim of a dead owner counts for nothing, whoever has its number now; one of another machine counts while it is touched', async () => {
  const place = join(directory, 'claims')
  mkdirSync(place)
  const file = join(place, 'plugwire.lock')
  const touch = (): Promise<Lock> => updateLockFile(file, () => ({ ...emptyLock }), { waitMs: 30 })
  let mine = ''
  await updateLockFile(file, lock => {
    mine = readdirSync(place).find(name => name.endsWith('.claim')) as string
    return lock
  })
  // .plugwire.lock.<host>.<boot>.<namespace>.<pid>.<started>.<chance>.claim
  const parts = mine.split('.')
  const claim = (changes: Record<number, string>, age = 0): string => {
    const path = put(place, parts.map((part, i) => changes[i] ?? part).join('.'), '')
    const then = new Date(Date.now() - age)
    utimesSync(path, then, then)
    return path
  }
  const [host, boot, namespace, pid, started, chance] = [3, 4, 5, 6, 7, 8]
  const dead = spawnSync('true').pid
  for (const changes of [{ [pid]: String(dead) }, { [started]: '1' }]) {
    const path = claim({ ...changes, [chance]: '0'.repeat(16) })
    await touch()
    assert.throws(() => statSync(path), { code: 'ENOENT' }, JSON.stringify(changes))
  }
  // Of an earlier start of this machine, or else of another machine that was made from the same image.
  const earlier = claim({ [boot]: '0'.repeat(12) }, (uptime() + 1) * 1000)
  await touch()
  assert.throws(() => statSync(earlier), { code: 'ENOENT' })
  for (const place of [host, namespace, boot]) {
    const path = claim({ [place]: '0'.repeat(12) })
    await assert.rejects(touch(), refusal('ERR_LOCK_BUSY', /another machine or in another container/))
    claim({ [place]: '0'.repeat(12) }, 61_000)
    await touch()
    assert.throws(() => statSync(path), { code: 'ENOENT' })
  }
  // Ours, of another thread as far as anybody can tell.
  const path = claim({ [chance]: '0'.repeat(16) })
  await assert.rejects(touch(), refusal('ERR_LOCK_BUSY', new RegExp(`process ${process.pid}`)))
  unlinkSync(path)
  // Names that only look like claims are nobody's.
  put(place, '.plugwire.lock.mine.claim', '')
  put(place, `.other.lock.${parts.slice(3).join('.')}`, '')
  await touch()
  assert.equal(readdirSync(place).length, 3)
})

test('a directory that does not show who else is there is no place to write', {
  skip: process.platform === 'win32' || process.getuid?.() !== 0 ? 'needs to be another user' : false,
}, async () => {
  const place = join(directory, 'blind')
  mkdirSync(place)
  chmodSync(place, 0o733) // Others may make files, and see none.
  chmodSync(directory, 0o755)
  const script = `
    import { emptyLock, updateLockFile } from '${new URL('../src/index.js', import.meta.url).href}'
    process.setgid(65534); process.setuid(65534)
    await updateLockFile(process.argv[1], () => ({ ...emptyLock }), { waitMs: 30 }).catch(error => console.log(error.code))`
  assert.equal(run(process.execPath, ['--input-type=module', '-e', script, join(place, 'plugwire.lock')]).trim(), 'ERR_LOCK_WRITE')
  assert.deepEqual(readdirSync(place), [])
})

test('a pipe in the place of a lock file is not waited for', { skip: process.platform === 'win32' }, async () => {
  const pipe = join(directory, 'pipe.lock')
  run('mkfifo', [pipe])
  await assert.rejects(readLockFile(pipe), refusal('ERR_LOCK_MALFORMED', /no regular file/))
})

test('a disk that is full leaves the file as it was', {
  skip: process.platform !== 'linux' || process.getuid?.() !== 0 ? 'needs a small file system of its own' : false,
}, async t => {
  const place = join(directory, 'small')
  mkdirSync(place)
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', place]).status !== 0) return t.skip('this system mounts nothing here')
  t.after(() => spawnSync('umount', ['-l', place]))
  const file = join(place, 'plugwire.lock')
  const verdict = await verdictOf()
  const before = await updateLockFile(file, lock => lockPlugin(lock, verdict, { source: 'x' }))
  const large = { source: 'x'.repeat(100_000) }
  await assert.rejects(
    updateLockFile(file, lock => lockPlugin(lock, verdict, large)),
    refusal('ERR_LOCK_WRITE', /ENOSPC\. The disk is full/),
  )
  assert.deepEqual(await readLockFile(file), before)
  assert.deepEqual(readdirSync(place), ['plugwire.lock'])
})
