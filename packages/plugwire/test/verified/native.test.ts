// Native programs that are started as they were verified, where something is in the way: a writer, a full disk, a mount without exec, strange directories.

import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  closeSync,
  fchmodSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { isPluginError } from '../../src/errors.ts'
import { ExpectedDigest } from '../../src/process/verified/digest.ts'
import { namedFile, unnamedFile } from '../../src/process/verified/place.ts'
import { startPlanOf, type VerifiedProgram } from '../../src/process/verified/start-plan.ts'
import { verifyProgram } from '../../src/process/verified/verify.ts'
import { World } from '../fixtures/started.ts'

const skip = process.platform === 'linux' ? false : 'files without a name are a thing of Linux'
const oddPlugin = fileURLToPath(new URL('../fixtures/odd-plugin.js', import.meta.url))
/** Becomes a plugin that echoes. */
const native = Buffer.from(`#!/bin/sh\nexec ${process.execPath} ${oddPlugin} echo\n`)
const digestOf = (bytes: Uint8Array) => ({ algorithm: 'sha256', digest: createHash('sha256').update(bytes).digest() })

let directory: string
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'native-'))
})
after(() => rmSync(directory, { recursive: true }))

const descriptorOf = (program: VerifiedProgram): number => startPlanOf(program)?.inherit as number

describe('a verified program that somebody has open for writing', { skip }, () => {
  /** Only this user can: the name is gone. */
  const write = (program: VerifiedProgram): number => {
    fchmodSync(descriptorOf(program), 0o700)
    return openSync(`/proc/self/fd/${descriptorOf(program)}`, 'r+')
  }

  test('is started as soon as that ends', async () => {
    await using world = new World()
    using program = await verifyProgram(native, digestOf(native))
    const writer = write(program)
    const start = world.start({ plugin: program })
    setTimeout(closeSync, 10, writer)
    assert.equal((await start).version, 1)
  })

  test('is refused when it does not end', async () => {
    await using world = new World()
    using program = await verifyProgram(native, digestOf(native))
    const writer = write(program)
    const { facts } = await world.fails('ERR_PLUGIN_START', world.start({ plugin: program, wire: 'unix' }))
    assert.equal(facts.reason, 'ETXTBSY')
    closeSync(writer)
  })

  test('in the forks of other threads does not notice them', async () => {
    const worker = new URL('../fixtures/starts-verified.js', import.meta.url)
    const tallies = await Promise.all(
      Array.from({ length: 4 }, () => {
        const thread = new Worker(worker, { workerData: { times: 40 } })
        return new Promise((resolve, reject) => thread.once('message', resolve).once('error', reject))
      }),
    )
    assert.deepEqual(tallies, Array(4).fill({ ran: 40 }))
  })
})

describe('a verified program that is closed', { skip }, () => {
  test('before its process is started is not started, and neither is what has its descriptor now', async () => {
    await using world = new World()
    const program = await verifyProgram(native, digestOf(native))
    const number = descriptorOf(program)
    const start = world.start({ plugin: program, wire: 'unix' })
    program.close()
    const other = join(directory, 'other')
    writeFileSync(other, '#!/bin/sh\necho evil >&2\nexit 66\n', { mode: 0o755 })
    const taken: number[] = []
    while (taken.at(-1) !== number) taken.push(openSync(other, 'r'))
    await world.fails('ERR_PLUGIN_NOT_FOUND', start)
    for (const descriptor of taken) closeSync(descriptor)
  })

  test('afterwards runs on; two starts at once are two', async () => {
    await using world = new World()
    const program = await verifyProgram(native, digestOf(native))
    const [one, two] = await Promise.all([world.start({ plugin: program }), world.start({ plugin: program })])
    program.close()
    assert.notEqual(one.pid, two.pid)
    assert.deepEqual([one.status, two.status], [undefined, undefined])
  })
})

describe('what is no program', { skip }, () => {
  test('is not given to a shell', async () => {
    for (const text of ['echo evil >&2\n', '']) {
      const bytes = Buffer.from(text)
      await assert.rejects(verifyProgram(bytes, digestOf(bytes)), { code: 'ERR_PLUGIN_START' })
    }
    const typed = join(directory, 'plugin.ts')
    writeFileSync(typed, 'export {}')
    await assert.rejects(verifyProgram(typed, digestOf(Buffer.from('export {}'))), /TypeScript/)
    await using world = new World()
    const start = world.start({ plugin: typed, checksum: digestOf(Buffer.from('export {}')) })
    await assert.rejects(
      start,
      (cause: unknown) => isPluginError(cause, 'ERR_PLUGIN_START') || isPluginError(cause, 'ERR_TYPESCRIPT_UNSUPPORTED'),
    )
  })

  test('nor what is for another machine to this one', async () => {
    const elf = Buffer.alloc(64)
    elf.writeUInt32BE(0x7f45_4c46)
    elf.writeUInt8(1, 5)
    elf.writeUInt16LE(8, 18)
    await assert.rejects(verifyProgram(elf, digestOf(elf)), /mips|could not start/)
  })

  test('and a command line that is too long is refused, with nothing left', async () => {
    await using world = new World()
    using program = await verifyProgram(native, digestOf(native))
    const { facts } = await world.fails(
      'ERR_PLUGIN_START',
      world.start({ plugin: { command: program, args: ['x'.repeat(200_000)] }, wire: 'unix' }),
    )
    assert.equal(facts.reason, 'E2BIG')
  })
})

describe('a large file', { skip }, () => {
  test('is kept as it was hashed, piece for piece', async () => {
    const bytes = Buffer.concat([native, randomBytes(7 * 1024 * 1024 + 12_345)])
    const file = join(directory, 'large')
    writeFileSync(file, bytes)
    using program = await verifyProgram(file, digestOf(bytes))
    assert.equal(program.bytes, bytes.length)
    assert.deepEqual(digestOf(readFileSync(`/proc/self/fd/${descriptorOf(program)}`)), digestOf(bytes))
  })
})

describe('bytes that change while they are verified', { skip }, () => {
  test('are started as they were hashed, or not at all', async () => {
    const bytes = Buffer.concat([native, Buffer.alloc(8 * 1024 * 1024)])
    const expected = digestOf(bytes)
    let changes = 0
    let over = false
    const change = (): void => {
      bytes.fill(++changes, native.length)
      if (!over) setImmediate(change)
    }
    const verifying = verifyProgram(bytes, expected)
    change()
    const program = await verifying.catch((cause: unknown) => assert.equal((cause as { code: string }).code, 'ERR_CHECKSUM'))
    over = true
    if (!program) return
    assert.deepEqual(digestOf(readFileSync(`/proc/self/fd/${descriptorOf(program)}`)), expected)
    program.close()
  })
})

describe('a place', { skip }, () => {
  const source = (bytes: Uint8Array) => ({
    name: 'native',
    async *read() {
      yield bytes
    },
  })
  const mount = (t: TestContext, options: string): string | undefined => {
    const at = mkdtempSync(join(directory, 'mount-'))
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', at]).status !== 0) {
      t.skip('nothing may be mounted here')
      return undefined
    }
    t.after(() => execFileSync('umount', ['-l', at]))
    return at
  }

  test('that is mounted without exec is passed over', async t => {
    const at = mount(t, 'noexec,mode=700')
    if (at === undefined) return
    await assert.rejects(verifyProgram(native, digestOf(native), { directory: at }), (cause: unknown) => {
      assert.match(String(cause), /unnamed-file: EACCES.*private-directory: EACCES/)
      return (cause as { code: string }).code === 'ERR_VERIFIED_PLACE'
    })
    await assert.rejects(unnamedFile(at, source(native), new ExpectedDigest(digestOf(native))), /EACCES/)
  })

  test('that is full is passed over', async t => {
    const at = mount(t, 'size=64k,mode=700')
    if (at === undefined) return
    const large = Buffer.concat([native, Buffer.alloc(1024 * 1024)])
    await assert.rejects(verifyProgram(large, digestOf(large), { directory: at }), (cause: unknown) => {
      assert.match(String(cause), /unnamed-file: ENOSPC.*private-directory: ENOSPC/)
      return (cause as { code: string }).code === 'ERR_VERIFIED_PLACE'
    })
  })

  test('with a name is cleared away when its process was killed, and many of them are no reason for a warning', async t => {
    const expected = new ExpectedDigest(digestOf(native))
    const own = join(directory, 'leftovers')
    const dead = spawnSync('true').pid
    const [old, young, alive] = [`run-${dead}-aaaaaa`, `run-${dead}-bbbbbb`, `run-${process.pid}-cccccc`]
    for (const name of [old, young, alive]) mkdirSync(join(own, name), { recursive: true, mode: 0o700 })
    const yesterday = new Date(Date.now() - 25 * 60 * 60 * 1000)
    for (const name of [old, alive]) utimesSync(join(own, name), yesterday, yesterday)

    const warnings: string[] = []
    const warn = (warning: Error): void => void warnings.push(warning.name)
    process.on('warning', warn)
    t.after(() => process.off('warning', warn))
    const listeners = process.listenerCount('exit')
    const places = []
    for (let i = 0; i < 12; i++) places.push(await namedFile(own, source(native), expected, ''))
    await new Promise(setImmediate)
    assert.deepEqual(warnings, [])
    for (const place of places) place.close()
    assert.deepEqual(readdirSync(own).sort(), [young, alive].sort())
    assert.equal(process.listenerCount('exit'), listeners)
  })

  test('with a name does not lie in a directory that somebody else can move, however it is reached', async t => {
    const expected = new ExpectedDigest(digestOf(native))
    const mine = join(directory, 'mine')
    mkdirSync(mine, { mode: 0o700 })
    symlinkSync(mine, join(directory, 'link'))
    const place = await namedFile(join(directory, 'link'), source(native), expected, '')
    assert.ok(dirname(dirname(place.path as string)).endsWith('mine'))
    place.close()

    const open = join(directory, 'open')
    mkdirSync(join(open, 'inner'), { recursive: true, mode: 0o700 })
    chmodSync(open, 0o777)
    symlinkSync(join(open, 'inner'), join(directory, 'detour'))
    for (const way of [join(open, 'inner'), join(directory, 'detour')])
      await assert.rejects(namedFile(way, source(native), expected, ''), /others may write to .*open/)

    if (process.getuid?.() !== 0) return t.skip('only root can give directories away')
    const foreign = join(directory, 'foreign')
    mkdirSync(join(foreign, 'inner'), { recursive: true, mode: 0o700 })
    chownSync(foreign, 65_534, 65_534)
    for (const way of [foreign, join(foreign, 'inner')])
      await assert.rejects(namedFile(way, source(native), expected, ''), /belongs to another user/)
  })

  test('in sealed memory cannot be changed through /proc by this very user; one that is not sealed can', async t => {
    if (!canSeal()) return t.skip('this runtime has neither node:ffi nor koffi')
    const attack = (program: VerifiedProgram): string =>
      execFileSync(process.execPath, [
        '-e',
        `const at = '/proc/${process.pid}/fd/${descriptorOf(program)}'
         try { fs.chmodSync(at, 0o700); const d = fs.openSync(at, 'r+'); fs.writeSync(d, '#!/bin/no'); process.stdout.write('changed') }
         catch (cause) { process.stdout.write(cause.code) }`,
      ]).toString()
    using weak = await verifyProgram(native, digestOf(native))
    assert.equal(attack(weak), 'changed', 'the control: the attack works')
    await using world = new World()
    using sealed = await verifyProgram(native, digestOf(native), { seal: 'require' })
    assert.equal(attack(sealed), 'EPERM')
    await world.start({ plugin: sealed })
  })
})

function canSeal(): boolean {
  if ((process.getBuiltinModule as (name: string) => unknown)('node:ffi') !== undefined) return true
  try {
    return createRequire(import.meta.url).resolve('koffi') !== ''
  } catch {
    return false
  }
}
