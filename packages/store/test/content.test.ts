import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { emptyLock, encodeLock, type Lock } from '@plugwire/trust'
import { isPluginError } from 'plugwire'
import { addRoot, collectGarbage } from '../src/content/garbage.ts'
import { isPresent, participantName } from '../src/content/participant.ts'
import { defaultStoreDirectory, userDataDirectory } from '../src/content/places.ts'
import { rememberSignatures, signaturesOf } from '../src/content/releases.ts'
import { ContentStore } from '../src/content/store.ts'

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'plugwire-content-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

const storeOf = (t: TestContext): Promise<ContentStore> => ContentStore.open(join(directoryOf(t), 'store'))
const sha512 = (bytes: string | Uint8Array): string => createHash('sha512').update(bytes).digest('hex')
const code =
  (expected: string, words = /./) =>
  (error: unknown) => {
    assert.ok(isPluginError(error), String((error as Error).stack))
    assert.equal(error.code, expected, error.message)
    assert.match(error.message, words)
    return true
  }

/** Nothing is there but whole objects under their own names. */
async function assertSound(store: ContentStore): Promise<number> {
  let objects = 0
  for await (const { sha512: digest } of store.objects()) {
    objects++
    await (await store.open(digest))[Symbol.asyncDispose]()
  }
  return objects
}

interface Ended {
  readonly exit: number | NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

function run(name: string, args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const file = fileURLToPath(new URL(`fixtures/${name}.js`, import.meta.url))
    const { NODE_EXTRA_CA_CERTS: _, NODE_TEST_CONTEXT: __, ...own } = process.env
    const child = spawn(process.execPath, [file, ...args], { env: { ...own, ...env } })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.on('error', reject).on('close', (exit, signal) => resolve({ exit: signal ?? exit, stdout, stderr }))
  })
}

test('content gets the name of its digest, and is read back only as what its name says', async t => {
  const store = await storeOf(t)
  const { sha512: digest, size } = await store.put(Buffer.from('hello'))
  assert.deepEqual([digest, size], [sha512('hello'), 5])
  assert.equal(Buffer.from(await store.read(digest, 5)).toString(), 'hello')
  assert.equal(await store.sizeOf(digest), 5)
  assert.equal(statSync(store.pathOf(digest)).mode & 0o777, 0o400)
  assert.equal(statSync(store.directory).mode & 0o777, 0o700)
  {
    await using open = await store.open(digest)
    assert.equal((await open.handle.readFile()).toString(), 'hello')
  }
  await assert.rejects(store.read(digest, 4), code('ERR_STORE_CORRUPT', /at most 4/))
  await assert.rejects(store.read(sha512('other'), 9), code('ERR_STORE_MISSING', /plugwire install/))
  assert.equal(await store.sizeOf(sha512('other')), undefined)
  assert.throws(() => store.pathOf('../../etc/passwd'), TypeError)
})

test('damaged content is found, and the next put mends it', async t => {
  const store = await storeOf(t)
  const { sha512: digest } = await store.put(Buffer.from('hello'))
  chmodSync(store.pathOf(digest), 0o600)
  writeFileSync(store.pathOf(digest), 'hellO')
  await assert.rejects(store.read(digest, 100), code('ERR_STORE_CORRUPT'))
  await assert.rejects(store.open(digest), code('ERR_STORE_CORRUPT'))
  assert.equal(await store.holds(digest), false)
  await store.put(Buffer.from('hello'), { sha512: digest })
  assert.equal(await store.holds(digest), true)
  // Something else under that name is damage as well.
  for (const take of [() => symlinkSync('/etc/passwd', store.pathOf(digest)), () => mkdirSync(store.pathOf(digest))]) {
    rmSync(store.pathOf(digest))
    take()
    await assert.rejects(store.read(digest, 100), code('ERR_STORE_CORRUPT', /it is (a link|no file)/))
    await store.put(Buffer.from('hello'), { sha512: digest })
    assert.equal(await store.holds(digest), true)
  }
  // A link is no object, wherever it leads.
  rmSync(store.pathOf(digest))
  writeFileSync(join(store.directory, 'elsewhere'), 'hello')
  symlinkSync(join(store.directory, 'elsewhere'), store.pathOf(digest))
  await assert.rejects(store.open(digest), code('ERR_STORE_CORRUPT', /it is a link/))
  assert.equal(await store.sizeOf(digest), undefined)
})

test('other content than announced gets no name and leaves nothing', async t => {
  const store = await storeOf(t)
  const endless = async function* (): AsyncGenerator<Uint8Array> {
    for (;;) yield Buffer.alloc(65_536)
  }
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from('half')
    throw new RangeError('gone')
  }
  await assert.rejects(
    store.put(Buffer.from('evil'), { sha512: sha512('good'), name: 'plugin.tgz' }),
    code('ERR_SOURCE_DIGEST', /plugin\.tgz/),
  )
  await assert.rejects(store.put(Buffer.from('evil'), { size: 5 }), code('ERR_SOURCE_DIGEST', /expected 5 bytes, got 4/))
  await assert.rejects(store.put(Buffer.from('evil'), { size: 3 }), code('ERR_SOURCE_LIMIT', /more than 3 bytes/))
  await assert.rejects(store.put(endless(), { maxBytes: 1_000_000 }), code('ERR_SOURCE_LIMIT', /1000000/))
  await assert.rejects(store.put(failing()), RangeError)
  await assert.rejects(store.put(endless(), { signal: AbortSignal.abort(new Error('enough')) }), /enough/)
  await assert.rejects(store.put(Buffer.alloc(1), { size: 2 ** 52 }), code('ERR_STORE_FULL', /are free/))
  assert.deepEqual(readdirSync(join(store.directory, 'tmp')), [])
  assert.equal(await assertSound(store), 0)
})

test('a store that others may write to is refused', async t => {
  const directory = directoryOf(t)
  mkdirSync(join(directory, 'open'))
  chmodSync(join(directory, 'open'), 0o777)
  await assert.rejects(ContentStore.open(join(directory, 'open')), code('ERR_STORE_ROOT', /others may write/))
  writeFileSync(join(directory, 'file'), '')
  await assert.rejects(ContentStore.open(join(directory, 'file', 'store')), code('ERR_STORE_IO'))
})

test("the store lies among the user's data", () => {
  assert.equal(userDataDirectory({ XDG_DATA_HOME: '/x/data' }), '/x/data')
  assert.notEqual(userDataDirectory({ XDG_DATA_HOME: 'relative' }), 'relative')
  assert.equal(defaultStoreDirectory({ PLUGWIRE_STORE: '/x/store' }), '/x/store')
  assert.equal(defaultStoreDirectory({ XDG_DATA_HOME: '/x/data' }), join('/x/data', 'plugwire', 'store'))
})

test('a draft is continued where it was left, also after its process died', async t => {
  const store = await storeOf(t)
  const draft = await store.draft('get-abc')
  await draft.write(Buffer.from('hel'))
  assert.equal(await store.adopt('get-abc'), undefined, 'its owner still works on it')
  await draft.leave()
  const adopted = await store.adopt('get-abc')
  assert.equal(adopted?.size, 3)
  assert.equal(await store.adopt('get-abc'), undefined)
  await adopted?.write(Buffer.from('lo'))
  assert.equal(await adopted?.digest('sha256'), createHash('sha256').update('hello').digest('hex'))
  assert.equal((await adopted?.keep({ sha512: sha512('hello') }))?.size, 5)
  // 2^22 is above every pid of Linux.
  writeFileSync(join(store.directory, 'tmp', `get-dead@4194305.1.${'x'.repeat(3)}.00`), 'old')
  assert.equal(await store.adopt('get-dead'), undefined, 'a process on another machine may still be at work')
})

test('who works in another container is waited for as long as something is heard of it', async t => {
  const store = await storeOf(t)
  const turn = join(store.directory, 'turns', 'clean-1.1.elsewhere.00')
  writeFileSync(turn, '')
  await assert.rejects(store.beginWriting(AbortSignal.timeout(100)), { name: /^(?:Abort|Timeout)Error$/ })
  const old = new Date(Date.now() - 20 * 60_000)
  utimesSync(turn, old, old)
  t.mock.timers.enable({ apis: ['setInterval'] })
  const own = await store.beginWriting(AbortSignal.timeout(10_000))
  assert.equal(existsSync(turn), false)
  const path = join(store.directory, 'turns', `write-${own.name}`)
  utimesSync(path, old, old)
  t.mock.timers.tick(60_000)
  while (statSync(path).mtimeMs < Date.now() - 60_000) await setImmediate()
  await own.end()
  assert.deepEqual(readdirSync(join(store.directory, 'turns')), [])
})

test('who has ended is gone, also while nobody has taken note of it', { skip: process.platform !== 'linux' && 'needs /proc' }, async t => {
  const store = await storeOf(t)
  // Its parent becomes a program that never asks what became of its children, as the first one of many containers.
  const script = `"$0" -e "require('fs').writeSync(1, process.pid + ' ' + require('fs').readFileSync('/proc/self/stat', 'utf8')); process.stdin.resume()" <&3 & exec sleep 1000 >/dev/null`
  const parent = spawn('sh', ['-c', script, process.execPath], { stdio: ['ignore', 'pipe', 'ignore', 'pipe'] })
  t.after(() => parent.kill('SIGKILL'))
  const [line] = (await once(parent.stdout as Readable, 'data')) as [Buffer]
  const [pid = ''] = line.toString().split(' ')
  const begin = line
    .toString()
    .slice(line.lastIndexOf(')') + 2)
    .split(' ')[19]
  const [, , place] = participantName().split('.')
  const turn = join(store.directory, 'turns', `clean-${pid}.${begin}.${place}.00`)
  writeFileSync(turn, '')
  assert.equal(isPresent(`${pid}.${begin}.${place}.00`, turn), true)
  process.kill(Number(pid), 'SIGKILL')
  while (!/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) await setImmediate()
  await (await store.beginWriting(AbortSignal.timeout(10_000))).end()
  assert.equal(existsSync(turn), false)
})

function lockOf(manifests: readonly string[]): Lock {
  return {
    plugins: new Map([
      [
        'aws',
        {
          highest: '1.0.9',
          signer: null,
          versions: new Map(manifests.map((manifest, i) => [`1.0.${i}`, { manifest, source: 'file:x', platforms: new Map() }])),
        },
      ],
    ]),
    requests: new Map(),
  }
}

test('what a lock file leads to stays, everything else goes', async t => {
  const store = await storeOf(t)
  const lockFile = join(store.directory, '..', 'plugwire.lock')
  const file = await store.put(Buffer.from('plugin'))
  const signature = await store.put(Buffer.from('signature'))
  const manifest = await store.put(
    Buffer.from(JSON.stringify({ critical: ['from-the-future'], platforms: { any: { files: { p: { sha512: file.sha512, size: 6 } } } } })),
  )
  await rememberSignatures(store, manifest.sha512, [signature.sha512])
  const garbage = await store.put(Buffer.from('garbage'))
  await rememberSignatures(store, garbage.sha512, [signature.sha512])
  writeFileSync(lockFile, encodeLock(lockOf([manifest.sha512, sha512('not in the store')])))
  await addRoot(store, lockFile)
  writeFileSync(join(store.directory, 'tmp', 'put@4194305.1.nobody.00'), 'unfinished')
  utimesSync(join(store.directory, 'tmp', 'put@4194305.1.nobody.00'), 0, 0)
  writeFileSync(join(store.directory, 'tmp', 'get-x@left'), 'recent')
  writeFileSync(join(store.directory, 'tmp', 'get-y@left'), 'old')
  utimesSync(join(store.directory, 'tmp', 'get-y@left'), 0, 0)
  for (const dryRun of [true, false]) {
    const report = await collectGarbage(store, { dryRun })
    assert.deepEqual(report, {
      locks: [lockFile],
      forgotten: [],
      kept: { objects: 3, bytes: manifest.size + 6 + 9 },
      removed: { objects: 1, bytes: 7 },
      leftovers: 2,
      unknown: ['aws 1.0.1'],
    })
  }
  assert.deepEqual(readdirSync(join(store.directory, 'tmp')), ['get-x@left'])
  assert.deepEqual(await signaturesOf(store, manifest.sha512), [signature.sha512])
  assert.deepEqual(await signaturesOf(store, garbage.sha512), [])
  assert.equal(await assertSound(store), 3)
  // A lock file that cannot be read protects everything; one that is gone protects nothing.
  writeFileSync(lockFile, '{')
  await assert.rejects(collectGarbage(store), code('ERR_STORE_ROOT', /Nothing was removed/))
  assert.equal(await assertSound(store), 3)
  rmSync(lockFile)
  assert.deepEqual((await collectGarbage(store)).forgotten, [lockFile])
  assert.equal(await assertSound(store), 0)
  assert.deepEqual(readdirSync(join(store.directory, 'roots')), [])
})

test('killed before and after every single step, the store is in order and usable', async t => {
  const directory = directoryOf(t)
  const whole = await run('store-steps', [join(directory, 'whole'), join(directory, 'lock')])
  assert.equal(whole.exit, 0, whole.stderr)
  const steps = Number(whole.stdout)
  assert.ok(steps > 40, whole.stdout)
  let killed = 0
  for (let step = 1; step <= steps; step++) {
    // What comes right after one step is right before the next, but for the last byte: one of both will do for most.
    const where = join(directory, `${step}`)
    const { exit, stderr } = await run('store-steps', [where, `${where}.lock`], {
      KILL_AT: `${step}:${step % 2 === 0 ? 'after' : 'before'}`,
    })
    if (exit === 'SIGKILL') killed++
    else assert.equal(exit, 0, stderr)
    const store = await ContentStore.open(where)
    await assertSound(store)
    const { sha512: digest } = await store.put(Buffer.from('one'))
    writeFileSync(`${where}.lock`, encodeLock(emptyLock))
    await addRoot(store, `${where}.lock`)
    await collectGarbage(store)
    assert.equal(await store.sizeOf(digest), undefined)
    assert.deepEqual(
      readdirSync(join(where, 'tmp')).filter(name => !name.startsWith('get-')),
      [],
      `step ${step}`,
    )
    assert.deepEqual(readdirSync(join(where, 'turns')), [], `step ${step}`)
    rmSync(where, { recursive: true })
  }
  assert.ok(killed >= steps - 2, `${killed} of ${steps}`)
})

test('two installers and a cleaner at once', async t => {
  const store = await storeOf(t)
  const rivals = await Promise.all([
    run('rival', [store.directory, 'write', '20']),
    run('rival', [store.directory, 'write', '20']),
    run('rival', [store.directory, 'clean', '10']),
  ])
  for (const { exit, stderr } of rivals) assert.equal(exit, 0, stderr)
  await assertSound(store)
  assert.deepEqual(readdirSync(join(store.directory, 'tmp')), [])
  assert.deepEqual(readdirSync(join(store.directory, 'turns')), [])
})

/** A disk of one megabyte; undefined where none may be mounted. */
function smallDisk(t: TestContext): string | undefined {
  const directory = mkdtempSync(join(tmpdir(), 'plugwire-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory], { stdio: 'ignore' })
  } catch {
    rmdirSync(directory)
    return undefined
  }
  t.after(() => {
    execFileSync('umount', ['-l', directory])
    rmdirSync(directory)
  })
  return directory
}

test('a full disk is said, and leaves everything as it was', async t => {
  const disk = process.platform === 'linux' ? smallDisk(t) : undefined
  if (disk === undefined) return t.skip('a small disk can be mounted only by root on Linux')
  const store = await ContentStore.open(join(disk, 'store'))
  const before = await store.put(Buffer.from('hello'))
  // Announced: refused before a byte is written. Not announced: in the middle.
  await assert.rejects(store.put(Buffer.alloc(5_000_000), { size: 5_000_000 }), code('ERR_STORE_FULL', /are free/))
  const endless = async function* (): AsyncGenerator<Uint8Array> {
    for (;;) yield Buffer.alloc(65_536)
  }
  await assert.rejects(store.put(endless()), code('ERR_STORE_FULL', /no room left/))
  assert.deepEqual(readdirSync(join(store.directory, 'tmp')), [])
  assert.equal(Buffer.from(await store.read(before.sha512, 5)).toString(), 'hello')
  await store.put(Buffer.alloc(100_000))
  // Full to the brim: even a root cannot be written, and the old one stays.
  writeFileSync(join(disk, 'lock'), encodeLock(emptyLock))
  await addRoot(store, join(disk, 'lock'))
  try {
    writeFileSync(join(disk, 'filler'), Buffer.alloc(2_000_000))
  } catch {}
  await assert.rejects(addRoot(store, join(disk, 'other')), code('ERR_STORE_FULL'))
  assert.equal(readdirSync(join(store.directory, 'roots')).length, 1)
  rmSync(join(disk, 'filler'))
  assert.equal((await collectGarbage(store)).removed.objects, 2)
})
