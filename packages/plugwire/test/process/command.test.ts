import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { ErrorCode, PluginError } from '../../src/errors.ts'
import { isPluginError } from '../../src/errors.ts'
import { applicationEnvironment } from '../../src/process/child-environment.ts'
import type { Command } from '../../src/process/command.ts'
import { resolveCommand } from '../../src/process/command.ts'
import { World } from '../fixtures/started.ts'

const directory = mkdtempSync(join(tmpdir(), 'command-'))
after(() => rmSync(directory, { recursive: true, force: true }))
const isRoot = process.getuid?.() === 0

function file(name: string, content: string | Uint8Array, mode = 0o755): string {
  const path = join(directory, name)
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}

function fails<C extends ErrorCode>(code: C, plugin: string | URL | Command, env: Record<string, string> = {}): PluginError<C> {
  try {
    resolveCommand(plugin, env)
  } catch (cause) {
    if (isPluginError(cause, code)) return cause
    throw cause
  }
  return assert.fail(`resolved, instead of ${code}`)
}

describe('a command', () => {
  test('that is a script runs under the runtime of the host, with its arguments', () => {
    const script = file('plugin.mjs', '', 0o644)
    const program = resolveCommand({ command: 'plugin.mjs', cwd: directory, args: ['a b', '$HOME'], execArgv: ['--no-warnings'] }, {})
    assert.deepEqual(program, {
      file: process.execPath,
      args: ['--no-warnings', script, 'a b', '$HOME'],
      cwd: directory,
      path: script,
      env: {},
    })
    assert.equal(resolveCommand(pathToFileURL(script), {}).path, script)
    assert.equal(resolveCommand(String(pathToFileURL(script)), {}).path, script)
  })

  test('that is a program runs by itself', () => {
    const script = file('plugin', '#!/usr/bin/env node\n')
    assert.deepEqual(resolveCommand({ command: './plugin', cwd: directory }, {}), {
      file: script,
      args: [],
      cwd: directory,
      path: script,
      env: {},
    })
    symlinkSync(script, join(directory, 'linked'))
    assert.equal(resolveCommand(join(directory, 'linked'), {}).file, join(directory, 'linked'))
  })

  test('that is a bare name is looked up in PATH, the one of the plugin before the one of the host, never in the working directory', () => {
    file('tool-of-its-own', '#!/bin/sh\n')
    const found = resolveCommand({ command: 'tool-of-its-own' }, { PATH: `/nowhere::${directory}` })
    assert.equal(found.file, join(directory, 'tool-of-its-own'))
    const { facts } = fails('ERR_PLUGIN_NOT_FOUND', { command: 'tool-of-its-own', cwd: directory }, { PATH: ':/nowhere' })
    assert.match(facts.remedy, /\.\/tool-of-its-own/)
  })

  test('that does not exist', () => {
    assert.match(fails('ERR_PLUGIN_NOT_FOUND', join(directory, 'missing.js')).facts.remedy, /Check the path/)
    assert.match(fails('ERR_PLUGIN_NOT_FOUND', './missing.js').facts.remedy, /counts from/)
    file('built.js', '')
    assert.match(fails('ERR_PLUGIN_NOT_FOUND', join(directory, 'built.ts')).facts.remedy, /built\.js; did you mean that\?/)
    assert.match(fails('ERR_PLUGIN_NOT_FOUND', directory).facts.remedy, /directory/)
    assert.match(fails('ERR_PLUGIN_NOT_FOUND', join(file('plain', ''), 'below')).facts.path, /below$/)
  })

  test('whose working directory does not exist', () => {
    assert.match(
      fails('ERR_PLUGIN_START', { command: 'x.js', cwd: join(directory, 'none') }).facts.reason,
      /working directory does not exist/,
    )
    assert.match(fails('ERR_PLUGIN_START', { command: 'x.js', cwd: file('no-directory', '') }).facts.reason, /no directory/)
  })

  test('that may not be executed, with its mode and what to do', () => {
    const { facts } = fails('ERR_PLUGIN_NOT_EXECUTABLE', file('locked', '#!/bin/sh\n', 0o644))
    assert.equal(facts.remedy, `Its mode is 0644; try chmod +x ${join(directory, 'locked')}.`)
    assert.match(fails('ERR_PLUGIN_NOT_EXECUTABLE', file("it's", '', 0o600)).facts.remedy, /chmod \+x '.*\/it'\\''s'\.$/)
  })

  test('that may not be read', { skip: isRoot && 'root may read everything' }, () => {
    assert.match(fails('ERR_PLUGIN_NOT_EXECUTABLE', file('secret.js', '', 0o000)).facts.remedy, /chmod \+r/)
  })

  test('that is text for no interpreter is never given to a shell', () => {
    const { facts } = fails('ERR_PLUGIN_START', file('words', 'touch /tmp/never\n'))
    assert.match(facts.reason, /names no interpreter/)
  })

  test('made for another machine', { skip: process.platform !== 'linux' && 'an ELF is at home on Linux only' }, t => {
    const elf = Buffer.alloc(64)
    elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
    elf.writeUInt16LE(process.arch === 's390x' ? 62 : 22, 18)
    const header = file('foreign', elf)
    try {
      resolveCommand(header, {})
    } catch (cause) {
      assert.ok(isPluginError(cause, 'ERR_PLUGIN_START'))
      return assert.match(cause.facts.reason, /program for ELF (s390x|x64)/)
    }
    return t.skip('this machine has interpreters for foreign programs')
  })

  test('whose interpreter does not exist is told by the system, and explained', async () => {
    await using world = new World()
    const missing = await world.fails('ERR_PLUGIN_START', world.start({ plugin: file('orphan', '#!/opt/no/such/interpreter\n') }))
    assert.equal(missing.facts.reason, 'ENOENT')
    assert.match(missing.facts.remedy, /asks for \/opt\/no\/such\/interpreter/)
    const carriage = await world.fails('ERR_PLUGIN_START', world.start({ plugin: file('from-windows', '#!/bin/sh\r\n') }))
    assert.match(carriage.facts.remedy, /carriage return/)
  })

  test('whose interpreter is not in PATH says so in its last words', async () => {
    await using world = new World()
    const { facts } = await world.fails(
      'ERR_HANDSHAKE_EXIT',
      world.start({ plugin: file('env-orphan', '#!/usr/bin/env no-such-interpreter\n') }),
    )
    assert.equal(facts.exitCode, 127)
    assert.match(facts.stderrTail, /no-such-interpreter/)
  })
})

describe('TypeScript', () => {
  const bare = { ...process.env, NODE_OPTIONS: '', NODE_EXTRA_CA_CERTS: undefined }
  const source = fileURLToPath(new URL('../../src/process/command.js', import.meta.url))
  /** Resolves in a host of its own, as what it resolves to depends on how the host was started. */
  const resolveIn = (
    cwd: string,
    execArgv: readonly string[],
    plugin: string,
    env: Record<string, string> = {},
    given: Record<string, string> = {},
  ): { args?: string[]; code?: string; message?: string } => {
    const program = `
      import { resolveCommand } from ${JSON.stringify(pathToFileURL(source).href)}
      try { console.log(JSON.stringify(resolveCommand(${JSON.stringify(plugin)}, ${JSON.stringify(given)}))) } catch (e) { console.log(JSON.stringify({ code: e.code, message: e.message })) }`
    return JSON.parse(
      execFileSync(process.execPath, [...execArgv, '--input-type=module', '-e', program], {
        cwd,
        encoding: 'utf8',
        env: { ...bare, ...env },
      }),
    )
  }
  const plugin = file('plugin.ts', '')
  const strips = Boolean((process.features as { typescript?: unknown }).typescript)

  test('is refused with remedies where nothing can run it', { skip: strips && 'this runtime strips types' }, () => {
    const { code, message } = resolveIn('/', [], plugin)
    assert.equal(code, 'ERR_TYPESCRIPT_UNSUPPORTED')
    assert.match(message ?? '', /Compile it to \.js, or use Node 22\.18 or later, or install tsx/)
  })

  test('runs by itself where the runtime strips types', { skip: !strips && 'this runtime does not strip types' }, () => {
    assert.deepEqual(resolveIn('/', [], plugin).args, [plugin])
  })

  test('runs with the loader of its host, named in full', () => {
    const tsx = file('tsx.mjs', '')
    assert.deepEqual(resolveIn(directory, ['--import', './tsx.mjs'], plugin).args, ['--import', pathToFileURL(tsx).href, plugin])
    assert.deepEqual(resolveIn(directory, [`--import=${pathToFileURL(tsx)}`], plugin).args, ['--import', pathToFileURL(tsx).href, plugin])
  })

  test('does not count on a loader that it does not get', { skip: strips && 'this runtime strips types' }, () => {
    const options = { NODE_OPTIONS: `--import=${pathToFileURL(file('tsx.mjs', ''))}` }
    assert.equal(resolveIn('/', [], plugin, options).code, 'ERR_TYPESCRIPT_UNSUPPORTED')
    assert.deepEqual(resolveIn('/', [], plugin, options, options).args, [plugin])
  })

  test('does not take a tracer for a loader', { skip: strips && 'this runtime strips types' }, () => {
    file('tracer.mjs', '')
    assert.equal(resolveIn(directory, ['--import', './tracer.mjs'], plugin).code, 'ERR_TYPESCRIPT_UNSUPPORTED')
  })

  test('runs with tsx where that is installed beside it', { skip: strips && 'this runtime strips types' }, () => {
    const project = join(directory, 'project')
    mkdirSync(join(project, 'node_modules/tsx'), { recursive: true })
    writeFileSync(join(project, 'node_modules/tsx/package.json'), '{"name":"tsx","exports":"./loader.mjs"}')
    writeFileSync(join(project, 'node_modules/tsx/loader.mjs'), '')
    writeFileSync(join(project, 'plugin.ts'), '')
    const { args } = resolveIn('/', [], join(project, 'plugin.ts'))
    assert.deepEqual(args, ['--import', pathToFileURL(join(project, 'node_modules/tsx/loader.mjs')).href, join(project, 'plugin.ts')])
  })
})

describe('the environment of a plugin', () => {
  const withHost = <T>(variables: Record<string, string>, run: () => T): T => {
    Object.assign(process.env, variables)
    try {
      return run()
    } finally {
      for (const name of Object.keys(variables)) delete process.env[name]
    }
  }

  test('is that of the host without what concerned only the host, and the application wins', () => {
    const stray = {
      PLUGIN_CLIENT_CERT: 'x',
      PLUGIN_MULTIPLEX_GRPC: 'true',
      PLUGWIRE_HOST: 'x',
      NODE_CHANNEL_FD: '3',
      NODE_UNIQUE_ID: '1',
      KEPT: 'host',
      REMOVED: 'host',
    }
    const env = withHost(stray, () =>
      applicationEnvironment({ env: { ...process.env, KEPT: 'application', REMOVED: undefined, PLUGIN_UNIX_SOCKET_GROUP: 'staff' } }),
    )
    for (const name of ['PLUGIN_CLIENT_CERT', 'PLUGIN_MULTIPLEX_GRPC', 'PLUGWIRE_HOST', 'NODE_CHANNEL_FD', 'NODE_UNIQUE_ID', 'REMOVED'])
      assert.ok(!(name in env), name)
    assert.equal(env['KEPT'], 'application')
    assert.equal(env['PLUGIN_UNIX_SOCKET_GROUP'], 'staff')
    assert.equal(env['PATH'], process.env['PATH'])
  })

  test('may be nothing, or what is named', () => {
    withHost({ ONE: '1', TWO: '2' }, () => {
      assert.deepEqual({ ...applicationEnvironment({ inheritEnv: false, env: { A: 'a' } }) }, { A: 'a' })
      assert.deepEqual({ ...applicationEnvironment({ inheritEnv: ['TWO', 'THREE', '__proto__'] }) }, { TWO: '2' })
    })
  })

  test('reaches the plugin, together with what the launch says', async () => {
    await using world = new World()
    const plugin = await world.odd('environment', 'an argument', {
      inheritEnv: false,
      versions: [1, 3],
      ports: { minPort: 5, maxPort: 6 },
      plugin: {
        command: fileURLToPath(new URL('../fixtures/odd-plugin.js', import.meta.url)),
        args: ['environment', 'with spaces', '$X'],
        cwd: directory,
      },
    })
    await plugin.close({ tell: () => plugin.link?.close() })
    const told = JSON.parse(plugin.lastWords().stdoutTail) as { env: Record<string, string>; cwd: string; argv: string[] }
    assert.deepEqual(told.env, {
      MARK: world.mark,
      ODD_PLUGIN: 'yes',
      PLUGIN_MIN_PORT: '5',
      PLUGIN_MAX_PORT: '6',
      PLUGIN_PROTOCOL_VERSIONS: '1,3',
      PLUGWIRE_HOST: '1|fd|3|plugwire|',
    })
    assert.equal(told.cwd, directory)
    assert.deepEqual(told.argv, ['with spaces', '$X'])
  })
})

test("a plugin that inherits its host's streams has its terminal", {
  skip: spawnSync('script', ['--version']).status !== 0 && 'script(1) makes the terminal',
}, () => {
  const noted = join(directory, 'terminal.json')
  const host = fileURLToPath(new URL('../fixtures/terminal-host.js', import.meta.url))
  execFileSync('script', ['-qefc', `'${process.execPath}' '${host}' '${noted}'`, '/dev/null'], { stdio: 'ignore' })
  assert.deepEqual(JSON.parse(readFileSync(noted, 'utf8')), [true, true, true])
})
