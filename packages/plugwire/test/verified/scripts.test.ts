// What a program in JavaScript meets when it runs from memory: the same as from its file, and nothing from the disk.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { PROGRAM_DESCRIPTOR } from '../../src/process/verified/start-plan.ts'
import { verifyScript } from '../../src/process/verified/verify.ts'
import { World } from '../fixtures/started.ts'

let hostile: string

before(() => {
  hostile = mkdtempSync(join(tmpdir(), 'hostile-'))
  mkdirSync(join(hostile, 'node_modules', 'innocent'), { recursive: true })
  writeFileSync(join(hostile, 'node_modules', 'innocent', 'index.js'), 'module.exports = "evil"')
})
after(() => rmSync(hostile, { recursive: true }))

const digestOf = (bytes: Uint8Array) => ({ algorithm: 'sha256', digest: createHash('sha256').update(bytes).digest() })

function verified(files: Record<string, string>, entry: string) {
  const bytes = Object.entries(files).map(([name, text]) => [name, Buffer.from(text)] as const)
  return verifyScript('tried', new Map(bytes.map(([name, bytes]) => [name, { bytes, digest: digestOf(bytes) }])), entry)
}

/** What the program says on stderr, before it ends of its own accord. */
async function says(files: Record<string, string>, entry: string, args: readonly string[] = []): Promise<string> {
  await using world = new World()
  const program = await verified(files, entry)
  const start = world.start({ plugin: { command: program, cwd: hostile, args } })
  return (await world.fails('ERR_HANDSHAKE_EXIT', start)).facts.stderrTail
}

describe('a module that runs from memory', () => {
  test('has no require, and so none that looks into the working directory', async () => {
    const main = `
      import { createRequire } from 'node:module'
      const tried = (name, from) => { try { return from(name) } catch (cause) { return cause.code ?? cause.name } }
      const own = createRequire(import.meta.url)
      console.error(typeof require, typeof module, typeof exports, typeof __filename, typeof os, typeof crypto.subtle)
      console.error(tried('innocent', name => require(name)), tried('innocent', own), own('./other.cjs'), own('node:path').sep)`
    assert.equal(
      await says({ 'main.js': main, 'other.cjs': 'module.exports = "other"' }, 'main.js'),
      'undefined undefined undefined undefined undefined object\nReferenceError ERR_MODULE_NOT_FOUND other /\n',
    )
  })

  test('may import the same at the same time, and what others share', async () => {
    const files = {
      'main.js': `const all = await Promise.all([import('./a.js'), import('./a.js'), import('./b.js'), import('node:os'), import('os')])
        console.error(all.map(one => one.own ?? typeof one.cpus).join())`,
      'a.js': `import { shared } from './c.js'\nexport const own = 'a' + shared`,
      'b.js': `import { shared } from './c.js'\nexport const own = 'b' + shared`,
      'c.js': `import 'node:path'\nexport const shared = await Promise.resolve('c')`,
    }
    assert.equal(await says(files, 'main.js'), 'ac,ac,bc,function,function\n')
  })

  test('finds in a package what the package exports, the narrower pattern first, and its main without an ending', async () => {
    const files = {
      'main.mjs': `import one from 'dependency/features/one'\nimport old from 'old'\nconsole.error(one, old)`,
      'node_modules/dependency/package.json': '{"exports":{"./*":"./lib/*.mjs","./features/*":"./special/*.mjs"}}',
      'node_modules/dependency/special/one.mjs': `export default 'special'`,
      'node_modules/old/package.json': '{"main":"./lib/main"}',
      'node_modules/old/lib/main.js': `module.exports = 'old'`,
    }
    assert.equal(await says(files, 'main.mjs'), 'special old\n')
  })

  test('hears of a builtin that is none', async () => {
    const main = `import('node:nothing').catch(cause => console.error(cause.code))`
    assert.equal(await says({ 'main.mjs': main }, 'main.mjs'), 'ERR_MODULE_NOT_FOUND\n')
  })
})

describe('a CommonJS program that runs from memory', () => {
  const main = `#!/usr/bin/env node
    'use strict'
    const facts = [require.main === module, __filename, __dirname, require('./facts').n, require.resolve('./other.cjs'), this === exports]
    console.error(facts.join(' '))
    console.error(process.argv.slice(1).join(' '), process.execArgv.some(argument => argument.includes('createHash')))
    try { require('innocent') } catch (cause) { console.error(cause.code) }
    const late = name => import(name).then(one => one.default?.sep ?? one.default, cause => cause.code)
    Promise.all([late('./late.mjs'), late('node:path'), late('innocent')]).then(all => console.error(all.join(' ')))`
  const others = { 'facts.json': '{"n":7}', 'other.cjs': '', 'late.mjs': `export default 'late'` }

  for (const entry of ['main.js', 'main.cjs', 'lib/main.js']) {
    test(`is one in ${entry}, too`, async () => {
      const files = Object.fromEntries(
        Object.entries({ [entry.replace('lib/', '')]: main, ...others }).map(([name, text]) => [entry.replace(/[^/]+$/, name), text]),
      )
      const root = `/@plugin/tried/${entry}`
      const directory = root.replace(/\/[^/]+$/, '')
      assert.deepEqual((await says(files, entry, ['one', '-e'])).split('\n'), [
        `true ${root} ${directory} 7 ${directory}/other.cjs true`,
        `${root} one -e false`,
        'ERR_MODULE_NOT_FOUND',
        'late / ERR_MODULE_NOT_FOUND',
        '',
      ])
    })
  }

  test('forks a program of its own, which is not this one again', async () => {
    const child = join(hostile, 'child.cjs')
    writeFileSync(child, 'console.error("the child", process.argv.length)')
    const main = `require('node:child_process').fork(${JSON.stringify(child)})`
    assert.equal(await says({ 'main.js': main }, 'main.js'), 'the child 2\n')
  })
})

describe('a large program in JavaScript', () => {
  const large = (main: string): Record<string, string> => ({ 'main.cjs': main, 'padding.txt': 'x'.repeat(60 * 1024 * 1024) })

  test('of 60 MB runs, in no more memory than it needs', async () => {
    const main = 'console.error(Math.round(process.resourceUsage().maxRSS / 1024))'
    const small = Number(await says({ 'main.cjs': main }, 'main.cjs'))
    const megabytes = Number(await says(large(main), 'main.cjs')) - small
    assert.ok(megabytes >= 60 && megabytes < 240, `${megabytes} MB for 60`)
  })

  test('that is killed while it is fed leaves nothing, and its host in peace', async () => {
    await using world = new World()
    const program = await verified(large(''), 'main.cjs')
    const descriptors = (): string[] => (process.platform === 'linux' ? readdirSync('/proc/self/fd') : [])
    const before = descriptors()
    const controller = new AbortController()
    const start = world.start({ plugin: program, signal: controller.signal })
    setImmediate(() => controller.abort())
    await world.fails('ERR_LAUNCH_ABORTED', start)
    await new Promise(resolve => setTimeout(resolve, 50))
    assert.deepEqual(descriptors(), before)
  })

  test('whose pipe is closed before it was read is refused by the child, and its host goes on', async () => {
    await using world = new World()
    const program = await verified(large(''), 'main.cjs')
    const early = `data:text/javascript,import{closeSync}from'node:fs';closeSync(${PROGRAM_DESCRIPTOR})`
    const { facts } = await world.fails('ERR_HANDSHAKE_EXIT', world.start({ plugin: { command: program, execArgv: ['--import', early] } }))
    assert.match(facts.stderrTail, /EBADF|not the ones that it verified/)
  })
})
