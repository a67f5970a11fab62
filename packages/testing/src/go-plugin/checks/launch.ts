// From the start of a plugin to its handshake line, and what it writes to its real outputs.

import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { runByHand } from 'plugwire/host'
import { demand, Unseen } from '../../check.ts'
import type { GoCheck, GoSubject } from '../check.ts'

async function refuses({ command, env, deadlineMs }: GoSubject, more: Record<string, string>): Promise<string> {
  const { exitCode, signal, timedOut, stdoutTail, stderrTail } = await runByHand(command, {
    describe: false,
    env: { ...env, ...more },
    timeoutMs: deadlineMs,
  })
  demand(!timedOut, () => `it went on running for ${deadlineMs} ms`)
  demand(exitCode === 1, () => `it ended with ${signal ?? `exit code ${exitCode}`}`)
  demand(stderrTail.trim() !== '', () => 'nothing on stderr')
  demand(stdoutTail.trim() === '', () => `on stdout: ${stdoutTail.trim().slice(0, 200)}`)
  return `exit code 1; on stderr: ${stderrTail.trim().split('\n')[0]}`
}

/** Lines of stderr that are meant as log records. */
function records(stderr: string): { line: string; record: Record<string, unknown> }[] {
  return stderr.split('\n').flatMap(line => {
    if (!line.startsWith('{')) return []
    try {
      const record = JSON.parse(line) as Record<string, unknown>
      return typeof record === 'object' && record !== null && '@message' in record ? [{ line, record }] : []
    } catch {
      return []
    }
  })
}

export const launchChecks: readonly GoCheck[] = [
  {
    id: 'launch.by-hand',
    demands: 'without the cookie it says on stderr that it is a plugin, writes nothing on stdout and exits with 1',
    otherwise: 'somebody who runs it by hand waits, or sees a line that means nothing',
    look: subject => refuses(subject, {}),
  },
  {
    id: 'launch.wrong-cookie',
    demands: 'with another value of the cookie it does the same',
    otherwise: 'a host of another kind launches it, and both misunderstand each other',
    look: subject => refuses(subject, { [subject.cookie.key]: `not ${subject.cookie.value}` }),
  },
  {
    id: 'launch.line',
    demands: 'its first line on stdout is the handshake: core version 1, a version, a network, an address and a protocol',
    otherwise: '"Unrecognized remote plugin message"',
    look: async subject => {
      const { fields, line } = await subject.launch()
      demand(fields[0] === '1', () => `core version ${fields[0]}: ${line}`)
      demand(/^\d+$/.test(fields[1] ?? ''), () => `version ${fields[1]}: ${line}`)
      demand(fields[2] === 'unix' || fields[2] === 'tcp', () => `network ${fields[2]}: ${line}`)
      demand(fields[4] === 'grpc' || fields[4] === 'netrpc' || fields[4] === undefined, () => `protocol ${fields[4]}: ${line}`)
      return line
    },
  },
  {
    id: 'launch.six-fields',
    demands: 'to a host that does not ask for multiplexing it writes no seventh field',
    otherwise: 'hosts before go-plugin 1.6 take it for a part of the certificate: "error parsing server cert: illegal base64 data"',
    look: async subject => {
      const { fields, line } = await subject.launch()
      demand(fields.length <= 6, () => line)
      return `${fields.length} fields`
    },
  },
  {
    id: 'launch.no-certificate',
    demands: 'to a host that sends no certificate it announces none',
    otherwise: 'the host crashes: a plugin that encrypts unasked is not expected',
    look: async subject => {
      const { fields } = await subject.launch()
      demand((fields[5] ?? '').length <= 50, () => `a certificate of ${fields[5]?.length} characters`)
      return 'none'
    },
  },
  {
    id: 'launch.highest-version',
    demands: 'of the versions offered it chooses the highest that it serves',
    otherwise: '"incompatible API version with plugin"',
    look: async subject => {
      const { fields } = await subject.launch({ versions: [...subject.versions, 999_999] })
      demand(Number(fields[1]) === subject.version, () => `it chose ${fields[1]}, its highest is ${subject.version}`)
      return `${fields[1]}`
    },
  },
  {
    id: 'launch.no-common-version',
    demands: 'without a common version it starts all the same, with a version of its own, so that the host can say what does not fit',
    otherwise: '"plugin exited before we could connect" in place of the two versions',
    look: async subject => {
      const { fields } = await subject.launch({ versions: [999_999] })
      demand(Number(fields[1]) !== 999_999, () => 'it claims a version that nobody serves')
      return `it says ${fields[1]}`
    },
  },
  {
    id: 'launch.no-list',
    demands: 'a host that offers no list of versions gets one of its own',
    otherwise: 'hosts that are older than versions cannot start it',
    look: async subject => `it says ${(await subject.launch({ versions: null })).fields[1]}`,
  },
  {
    id: 'launch.listens',
    demands: 'when the line is written it accepts connections at its address',
    otherwise: '"connection refused" for a host that is quick',
    look: async subject => {
      const peer = await subject.launch()
      await peer.connect()
      demand(
        peer.network !== 'tcp' || /^(127\.|localhost:|\[::1\]|:)/.test(peer.address),
        () => `it listens for other machines: ${peer.address}`,
      )
      return `${peer.network} ${peer.address}`
    },
  },
  {
    id: 'launch.socket-directory',
    demands: 'its socket lies in the directory that the host names',
    otherwise: 'in a container the host looks for it in vain',
    look: async subject => {
      const directory = mkdtempSync(join(tmpdir(), 'conform-'))
      try {
        const peer = await subject.launch({ socketDir: directory })
        if (peer.network !== 'unix') throw new Unseen(`it listens on ${peer.network}`)
        demand(dirname(peer.address) === directory, () => peer.address)
        return 'it does'
      } finally {
        rmSync(directory, { recursive: true, force: true })
      }
    },
  },
  {
    id: 'launch.socket-group',
    demands: 'for a group that the host names its socket has that group and mode 0660',
    otherwise: 'a host that runs as another user cannot connect',
    look: async subject => {
      const gid = process.getgid?.()
      if (gid === undefined) throw new Unseen('this system has no groups')
      const peer = await subject.launch({ socketGroup: String(gid) })
      if (peer.network !== 'unix') throw new Unseen(`it listens on ${peer.network}`)
      const { mode, gid: actual } = statSync(peer.address)
      demand((mode & 0o777) === 0o660 && actual === gid, () => `mode 0${(mode & 0o777).toString(8)}, group ${actual}`)
      return 'mode 0660'
    },
  },
  {
    id: 'launch.stray-connection',
    demands: 'a connection that opens and closes without a byte does it no harm',
    otherwise: 'a host that reattaches dials once to see whether somebody is there, and finds nobody the second time',
    look: async subject => {
      const peer = await subject.launch()
      for (let turn = 0; turn < 3; turn++) (await peer.connect()).destroy()
      await new Promise(resolve => setTimeout(resolve, 50))
      await peer.connect()
      demand(peer.process.exitCode === null && peer.process.signalCode === null, () => 'it ended')
      return 'none'
    },
  },
  {
    id: 'launch.logs',
    demands: 'log records on stderr have texts as message and level, and times with six digits',
    otherwise: 'a message that is no text crashes the host; a time with three digits makes it show the whole record as text',
    look: async subject => {
      const peer = await subject.launch()
      await peer.connect()
      await new Promise(resolve => setTimeout(resolve, 50))
      const found = records(peer.stderr)
      for (const { line, record } of found) {
        demand(typeof record['@message'] === 'string' && typeof record['@level'] === 'string', () => line)
        const time = record['@timestamp']
        demand(
          time === undefined || (typeof time === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/.test(time)),
          () => line,
        )
      }
      if (found.length === 0) throw new Unseen('it wrote no record until it was connected to')
      return `${found.length} records`
    },
  },
  {
    id: 'launch.interrupt',
    demands: 'it ignores SIGINT, which reaches host and plugin together when somebody presses Ctrl-C',
    otherwise: 'the host cannot finish what it does with the plugin',
    look: async subject => {
      const peer = await subject.launch()
      // The line comes first, the signal is ignored right behind it.
      await peer.connect()
      await new Promise(resolve => setTimeout(resolve, 50))
      peer.process.kill('SIGINT')
      await new Promise(resolve => setTimeout(resolve, 100))
      demand(peer.process.exitCode === null && peer.process.signalCode === null, () => 'it ended')
      await peer.connect()
      return 'it goes on'
    },
  },
  {
    id: 'launch.terminate',
    demands: 'SIGTERM ends it, and its socket with it',
    otherwise: 'it outlives a host that cannot speak to it any more, and leaves files behind',
    look: async subject => {
      const peer = await subject.launch()
      await peer.connect()
      peer.process.kill('SIGTERM')
      const { exitCode, signal } = await peer.within(peer.exited, 'it did not end')
      const left = peer.network === 'unix' && existsSync(peer.address)
      // go-plugin itself leaves it, as Go programs die of the signal.
      return `${signal ?? `exit code ${exitCode}`}${left ? '; it left its socket behind' : ''}`
    },
  },
]

/** Whether anything went to the real stdout behind the line. */
export function strayOutput(stdout: string): string {
  const end = stdout.indexOf('\n')
  return end < 0 ? '' : stdout.slice(end + 1)
}
