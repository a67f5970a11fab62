// Programs that are started as they were verified: from places, through pipes, several times; and everything that must not work.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { build } from 'esbuild'
import { contract } from 'plugwire'
import { isPluginError, launch, verifyProgram, verifyScript } from 'plugwire/host'
import type { Probe } from '../fixtures/verified-plugin.ts'

const linux = process.platform === 'linux'
const onLinux = linux ? false : 'files without a name are a thing of Linux'
const probe = contract<{ probe: Probe }>({ name: 'verified', version: 1 })

let directory: string
/** One file that imports nothing but Node's own modules. */
let bundle: string

const digestOf = (bytes: Uint8Array | string) => ({ algorithm: 'sha512', digest: createHash('sha512').update(bytes).digest('hex') })
const fileDigest = (file: string) => digestOf(readFileSync(file))

before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'verified-'))
  bundle = join(directory, 'bundle.js')
  await build({
    entryPoints: [fileURLToPath(new URL('../fixtures/verified-plugin.js', import.meta.url))],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'esm',
    sourcemap: 'inline',
    logLevel: 'error',
  })
})
after(() => rmSync(directory, { recursive: true }))

describe('a program in JavaScript', () => {
  test('runs from memory, as often as one likes, and nothing of it is a file', async () => {
    const program = await verifyProgram(bundle, fileDigest(bundle))
    assert.equal(program.rung, 'pipe')
    assert.ok(inspect(program).length < 300, 'printed without what starts it')
    const [one, two] = await Promise.all([launch(probe, program), launch(probe, program)])
    try {
      const [first, second] = await Promise.all([one.dispense('probe'), two.dispense('probe')])
      const seen = await first.look()
      assert.equal(seen.url, 'file:///@plugin/bundle.js/bundle.js')
      assert.equal(seen.argv1, '/@plugin/bundle.js/bundle.js')
      assert.equal((await second.look()).url, seen.url)
      assert.notEqual(one.pid, two.pid)
    } finally {
      program.close()
      await Promise.all([one.close(), two.close()])
    }
    await assert.rejects(launch(probe, program), { code: 'ERR_PLUGIN_NOT_FOUND' })
  })

  test('has stacks that lead to its sources', async () => {
    const program = await verifyProgram(bundle, fileDigest(bundle))
    await using plugin = await launch(probe, program)
    await using instance = await plugin.dispense('probe')
    const stack = await instance.stackOfError()
    assert.match(stack, /verified-plugin\.(ts|js):\d+:\d+/)
    assert.match(stack, /at .*deepInside/)
  })

  test('finds no modules in a hostile working directory, and takes no orders from the environment', async () => {
    const hostile = join(directory, 'hostile')
    mkdirSync(join(hostile, 'node_modules', 'innocent'), { recursive: true })
    writeFileSync(join(hostile, 'node_modules', 'innocent', 'index.js'), 'export default "evil"')
    writeFileSync(join(hostile, 'node_modules', 'innocent', 'package.json'), '{"type":"module","exports":"./index.js"}')
    writeFileSync(join(hostile, 'evil.cjs'), 'globalThis.evil = true')
    process.env['NODE_OPTIONS'] = `--require ${join(hostile, 'evil.cjs')}`
    try {
      const program = await verifyProgram(bundle, fileDigest(bundle))
      await using plugin = await launch(probe, { command: program, cwd: hostile })
      await using instance = await plugin.dispense('probe')
      assert.deepEqual(await instance.tryImports(['innocent', './evil.cjs', '/etc/hostname', 'node:os']), [
        'ERR_MODULE_NOT_FOUND',
        'ERR_MODULE_NOT_FOUND',
        'ERR_MODULE_NOT_FOUND',
        'imported',
      ])
      assert.equal(await instance.isEvil(), false)
      const names = await instance.variables()
      assert.ok(!names.includes('NODE_OPTIONS') && names.includes('PATH'))
    } finally {
      delete process.env['NODE_OPTIONS']
    }
  })

  test('that has become endless is not read to its end', async () => {
    const file = join(directory, 'endless.js')
    writeFileSync(file, 'export {}')
    const expected = fileDigest(file)
    truncateSync(file, 2 ** 40) // Sparse: it takes no room.
    await assert.rejects(verifyProgram(file, expected), { code: 'ERR_CHECKSUM', message: /more than 536870912 bytes/ })
  })

  test('of several files runs too: modules, CommonJS, JSON, packages beside them', async () => {
    const files = new Map(
      Object.entries({
        'package.json': '{"type":"module","imports":{"#inner":"./lib/inner.js"}}',
        'main.js': [
          "import { deep } from '#inner'",
          "import old, { word } from './lib/old.cjs'",
          "import facts from './facts.json' with { type: 'json' }",
          "import dependency from 'dependency/sub'",
          "const late = await import('./lib/late.js')",
          "process.stdout.write('1|' + [deep, word, old.word, facts.n, dependency, late.default].join('-') + '|\\n')",
        ].join('\n'),
        'lib/inner.js': "import { sep } from 'node:path'\nexport const deep = 'deep' + sep",
        'lib/old.cjs': "exports.word = require('./older').word + require('path').sep",
        'lib/older.cjs': "module.exports = { word: 'old' }",
        'lib/late.js': 'export default import.meta.filename',
        'facts.json': '{"n":7}',
        'node_modules/dependency/package.json': '{"exports":{"./*":{"import":"./esm/*.js"}},"type":"module"}',
        'node_modules/dependency/esm/sub.js': "export default 'sub'",
      }).map(([file, text]) => [file, { bytes: Buffer.from(text), digest: digestOf(text) }] as const),
    )
    const program = await verifyScript('several', files, 'main.js')
    await assert.rejects(launch(probe, program, { wire: 'stdio' }), cause => {
      assert.ok(isPluginError(cause, 'ERR_HANDSHAKE_LINE'), String(cause))
      assert.equal(cause.facts.line, '1|deep/-old/-old/-7-sub-/@plugin/several/lib/late.js|')
      return true
    })
    const evil = new Map([...files, ['facts.json', { bytes: Buffer.from('{"n":8}'), digest: digestOf('{"n":7}') }]])
    await assert.rejects(verifyScript('several', evil, 'main.js'), { code: 'ERR_CHECKSUM' })
    await assert.rejects(verifyScript('several', files, 'other.js'), { code: 'ERR_PLUGIN_NOT_FOUND' })
    const climbing = new Map([['../up.js', { bytes: Buffer.from(''), digest: digestOf('') }]])
    await assert.rejects(verifyScript('several', climbing, '../up.js'), { code: 'ERR_CONTRACT' })
  })

  test('that was changed on its way is not run', async () => {
    const { bootText } = await import('../../src/process/verified/boot.ts')
    const child = spawn(process.execPath, ['--experimental-vm-modules', '-e', bootText(), '--', '4', '0'.repeat(64)], {
      stdio: ['ignore', 'pipe', 'pipe', 'ignore', 'pipe'],
    })
    ;(child.stdio[4] as NodeJS.WritableStream).end('something else')
    let said = ''
    child.stderr?.on('data', chunk => {
      said += chunk
    })
    const code = await new Promise(resolve => child.on('close', resolve))
    assert.equal(code, 97)
    assert.match(said, /nothing of them was run/)
  })
})

describe('a native program', () => {
  /** A shell script is one, as far as the system is concerned. */
  const script = (): string => {
    const file = join(directory, 'native')
    writeFileSync(file, `#!/bin/sh\nexec ${JSON.stringify(process.execPath)} ${JSON.stringify(bundle)}\n`)
    chmodSync(file, 0o755)
    return file
  }

  test('runs from a file without a name, as often as one likes', { skip: onLinux }, async () => {
    const file = script()
    const program = await verifyProgram(file, fileDigest(file))
    assert.equal(program.rung, 'unnamed-file')
    assert.equal(program.bytes, readFileSync(file).length)
    // What becomes of the file is all the same from now on.
    writeFileSync(file, '#!/bin/sh\nexit 3\n')
    for (let start = 0; start < 3; start++) {
      await using plugin = await launch(probe, { command: program, cwd: directory })
      await using instance = await plugin.dispense('probe')
      assert.equal((await instance.look()).cwd, directory)
    }
    program.close()
    await assert.rejects(verifyProgram(file, digestOf('what it was')), { code: 'ERR_CHECKSUM' })
  })

  test('runs from a private directory where that will do, which is gone afterwards', async () => {
    const file = script()
    const own = join(directory, 'own')
    const { namedFile } = await import('../../src/process/verified/place.ts')
    const { ExpectedDigest } = await import('../../src/process/verified/digest.ts')
    const source = {
      name: file,
      read: async function* () {
        yield readFileSync(file)
      },
    }
    const place = await namedFile(own, source, new ExpectedDigest(fileDigest(file)), '')
    assert.equal(place.rung, 'private-directory')
    assert.ok(existsSync(place.path as string))
    place.close()
    assert.deepEqual(readdirSync(own), [])
  })

  test('is refused where no place is strong enough, with what was tried', { skip: onLinux }, async () => {
    const file = script()
    const open = join(directory, 'open')
    mkdirSync(open)
    chmodSync(open, 0o777)
    await assert.rejects(verifyProgram(file, fileDigest(file), { directory: open }), cause => {
      assert.ok(isPluginError(cause, 'ERR_VERIFIED_PLACE'))
      assert.match(cause.facts.reason, /unnamed-file: others may write/)
      assert.match(cause.facts.reason, /private-directory: others may write/)
      return true
    })
  })

  test('runs from sealed memory where the system can, and says so where it cannot', { skip: onLinux }, async t => {
    const file = script()
    const seals = canSeal()
    if (!seals) {
      await assert.rejects(verifyProgram(file, fileDigest(file), { seal: 'require' }), { code: 'ERR_VERIFIED_PLACE' })
      const program = await verifyProgram(file, fileDigest(file), { seal: 'prefer' })
      assert.equal(program.rung, 'unnamed-file')
      assert.match(program.passedOver[0] as string, /sealed-memory: .*koffi/)
      program.close()
      t.diagnostic('this runtime has neither node:ffi nor koffi')
      return
    }
    const program = await verifyProgram(file, fileDigest(file), { seal: 'require' })
    assert.equal(program.rung, 'sealed-memory')
    await using plugin = await launch(probe, program)
    await using instance = await plugin.dispense('probe')
    assert.equal((await instance.look()).cwd, process.cwd())
    program.close()
  })

  test('keeps no descriptors of its host', { skip: onLinux }, async () => {
    // Opened by a shell without the mark that ends it at exec, above a gap, so that Node does not mark it either.
    const host = fileURLToPath(new URL('../fixtures/leaky-host.js', import.meta.url))
    const said = execFileSync('bash', ['-c', `exec 60</etc/hostname; exec "$0" "$1" "$2"`, process.execPath, host, bundle], {
      encoding: 'utf8',
    })
    const { leaked, strict } = JSON.parse(said) as { leaked: string; strict: string }
    assert.equal(leaked, '/etc/hostname', 'the control: nothing leaks here anyway')
    assert.equal(strict, '/dev/null')
  })
})

describe('a digest', () => {
  test('that is none is refused before anything is read', async () => {
    for (const digest of ['', 'xyz', 'abc', 'ab'.repeat(31)]) {
      await assert.rejects(verifyProgram('/nowhere', { algorithm: 'sha256', digest }), { code: 'ERR_CHECKSUM' })
    }
    await assert.rejects(verifyProgram('/nowhere', { algorithm: 'rot13', digest: 'ab' }), { code: 'ERR_CHECKSUM' })
  })

  test('of bytes is as good as of a file; of a directory or a FIFO there is none', { skip: onLinux }, async () => {
    const bytes = Buffer.from('#!/bin/sh\nexit 4\n')
    const program = await verifyProgram(
      bytes,
      { algorithm: 'blake2b512', digest: createHash('blake2b512').update(bytes).digest() },
      { name: 'bytes' },
    )
    await assert.rejects(launch(probe, program), { code: 'ERR_HANDSHAKE_EXIT' })
    program.close()
    const fifo = join(directory, 'fifo')
    execFileSync('mkfifo', [fifo])
    for (const none of [directory, fifo]) await assert.rejects(verifyProgram(none, digestOf('')), { code: 'ERR_PLUGIN_NOT_FOUND' })
  })

  test('as an option of a launch starts what was checked, with arguments, directory and environment as they were', async () => {
    process.env['VERIFIED_TEST'] = 'inherited'
    try {
      await using plugin = await launch(probe, { command: bundle, args: ['one', 'two'], cwd: directory }, { checksum: fileDigest(bundle) })
      await using instance = await plugin.dispense('probe')
      const { argv, cwd } = await instance.look()
      assert.deepEqual(argv, ['one', 'two'])
      assert.equal(cwd, directory)
      assert.ok((await instance.variables()).includes('VERIFIED_TEST'))
    } finally {
      delete process.env['VERIFIED_TEST']
    }
    await assert.rejects(launch(probe, bundle, { checksum: digestOf('else') }), { code: 'ERR_CHECKSUM' })
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
