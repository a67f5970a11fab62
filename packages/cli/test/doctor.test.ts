import assert from 'node:assert/strict'
import { chmodSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { DoctorReport, Finding } from '../src/commands/doctor.ts'
import { fixture, plugwire } from './command.ts'

const directory = mkdtempSync(join(tmpdir(), 'plugwire-doctor-'))
after(() => rmSync(directory, { recursive: true, force: true }))

async function doctor(
  plugin: string,
  ...options: string[]
): Promise<{ code: number | null; report: DoctorReport; of: (check: string) => Finding | undefined }> {
  const { code, stdout, stderr } = await plugwire(['doctor', plugin, '--json', ...options])
  assert.notEqual(stdout, '', stderr)
  const report = JSON.parse(stdout) as DoctorReport
  return { code, report, of: check => report.findings.find(finding => finding.check === check) }
}

/** The last finding must be a failure of this check. */
async function failsAt(check: string, plugin: string, says: RegExp, remedy: RegExp, ...options: string[]): Promise<DoctorReport> {
  const { code, report } = await doctor(plugin, ...options)
  assert.deepEqual([code, report.healthy], [1, false])
  const failure = report.findings.at(-1) as Finding
  assert.deepEqual([failure.check, failure.status], [check, 'fail'], JSON.stringify(report.findings))
  assert.match(failure.says, says)
  assert.match(failure.remedy ?? '', remedy)
  return report
}

function program(name: string, content: string | Uint8Array, mode = 0o755): string {
  const path = join(directory, name)
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}

test('a plugin that is well', async () => {
  const { code, report } = await doctor(fixture('shop.js'))
  assert.equal(code, 0)
  assert.deepEqual(
    report.findings.map(({ check, status }) => [check, status]),
    [
      'file',
      'kind',
      'permissions',
      'interpreter',
      'by hand',
      'contract',
      'start',
      'stdout',
      'protocol',
      'versions',
      'timing',
      'call',
      'end',
    ].map(check => [check, 'ok']),
  )
})

test('for people each finding has a line, and there is a verdict', async () => {
  const { code, stdout } = await plugwire(['doctor', fixture('prints-junk.js')])
  assert.equal(code, 0)
  assert.match(stdout, /^ok {4}file/)
  assert.match(stdout, /^warn {2}stdout .*\n.*loading the model.*\n +-> A plugwire host takes that as output\./m)
  assert.match(stdout, /The plugin is well, 1 thing to look at\.\n$/)
})

test('no such file', async () => {
  await failsAt('file', join(directory, 'missing'), /there is no plugin/, /Check the path/)
})

test('not executable', async () => {
  await failsAt('permissions', program('shut', '#!/bin/sh\n', 0o644), /mode 0644, owned by you/, /chmod \+x/)
})

test('for another machine', async t => {
  if (process.platform === 'win32') return t.skip('ELF files are no programs there')
  const header = Buffer.alloc(64)
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  header.writeUInt16LE(2, 16)
  header.writeUInt16LE(process.arch === 's390x' ? 62 : 22, 18)
  await failsAt('kind', program('foreign', header), /ELF program for (s390x|x64), but this is/, /Build or install it for/)
})

test('a text that names no interpreter', async () => {
  await failsAt('kind', program('text', 'echo hello\n'), /names no interpreter/, /#!\/usr\/bin\/env node/)
})

test('an interpreter that is not there', async () => {
  await failsAt(
    'interpreter',
    program('lost', '#!/no/such/interpreter\n'),
    /\/no\/such\/interpreter, which does not exist here/,
    /Install it, or correct/,
  )
  await failsAt(
    'interpreter',
    program('lost-env', '#!/usr/bin/env no-such-runtime -x\n'),
    /asks env for no-such-runtime, which is not in PATH/,
    /Install no-such-runtime/,
  )
  await failsAt('interpreter', program('dos', '#!/usr/bin/env node\r\n'), /carriage return/, /Unix line ends/)
})

test('everybody may change it', async () => {
  const path = join(directory, 'open.mjs')
  cpSync(fixture('does-nothing.js'), path)
  chmodSync(path, 0o666)
  const { of } = await doctor(path)
  assert.equal(of('permissions')?.status, 'warn')
  assert.match(of('permissions')?.remedy ?? '', /chmod o-w/)
})

test('throws before it serves', async () => {
  await failsAt('by hand', fixture('crashes.js'), /no such database/, /stack says where/)
})

test('an import that is not installed', async () => {
  await failsAt('by hand', program('lacking.mjs', "import 'no-such-package'\n"), /no-such-package/, /npm install no-such-package/)
})

test('a program that is no plugin', async () => {
  const report = await failsAt('contract', fixture('does-nothing.js'), /does not tell its contract/, /--name NAME/)
  assert.equal(report.findings.find(({ check }) => check === 'by hand')?.status, 'warn')
})

test("a cookie that is not the plugin's", async () => {
  await failsAt(
    'contract',
    fixture('shop.js'),
    /your cookie is PLUGWIRE_KIOSK=.*the plugin's is PLUGWIRE_SHOP=/,
    /same contract/,
    '--name',
    'kiosk',
  )
  await failsAt(
    'contract',
    fixture('grpc-plugin.js'),
    /exited before its handshake/,
    /cookie is another one/,
    '--cookie',
    'BASIC_PLUGIN=wrong',
  )
})

test('no version in common', async () => {
  await failsAt('versions', fixture('shop.js'), /has 1, 2, the host understands 9/, /--version 1,2/, '--version', '9')
})

test('a plugin of go-plugin is sound, as far as this command can see', async () => {
  const { code, stdout } = await plugwire(['doctor', fixture('grpc-plugin.js'), '--cookie', 'BASIC_PLUGIN=hello', '--json'])
  const { healthy, findings } = JSON.parse(stdout) as DoctorReport
  assert.deepEqual([code, healthy, findings.find(({ check }) => check === 'start')?.status], [0, true, 'ok'])
  const last = findings.at(-1)
  assert.deepEqual([last?.check, last?.status], ['protocol', 'warn'])
  assert.match(`${last?.says} ${last?.remedy}`, /speaks grpc.*kinds of the protocol grpc\. plugwire conformance/)
})

test('prints no handshake', async () => {
  const silent = program('silent.mjs', "if (!process.env.SILENT) process.exit(1)\nconsole.error('thinking')\nsetInterval(() => {}, 1000)\n")
  await failsAt(
    'start',
    silent,
    /no handshake within 700 ms\n {2}\| thinking/,
    /--start-timeout/,
    '--cookie',
    'SILENT=1',
    '--start-timeout',
    '700',
  )
})

test('a handshake that cannot be used', async () => {
  const broken = program(
    'broken.mjs',
    "if (!process.env.BROKEN) process.exit(1)\nconsole.log('1|x|tcp|127.0.0.1:1|grpc')\nsetInterval(() => {}, 1000)\n",
  )
  await failsAt('stdout', broken, /no handshake, "1\|x\|/, /./, '--cookie', 'BROKEN=1')
})

test('does not end when told to', async () => {
  const { code, of } = await doctor(fixture('ends-late.js'))
  assert.equal(code, 0)
  assert.equal(of('end')?.status, 'warn')
  assert.match(of('end')?.says ?? '', /it was terminated/)
})

test('a program that never serves', async () => {
  const asked = await failsAt('contract', fixture('hangs.js'), /never wrote its handshake/, /call serve\(\)/, '--start-timeout', '1000')
  assert.ok(asked)
  await failsAt('start', fixture('hangs.js'), /no handshake within 1000 ms/, /call serve\(\)/, '--start-timeout', '1000', '--name', 'hangs')
})
