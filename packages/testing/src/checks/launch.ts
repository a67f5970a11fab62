// What a plugin does until its session begins.

import { readFileSync } from 'node:fs'
import { runByHand } from 'plugwire/host'
import { type Check, demand, Root, type Subject, Unseen } from '../check.ts'
import { type LaunchedPeer, launchVariables, MAX_LINE_BYTES } from '../launched-peer.ts'

async function refusesByHand({ command, env, deadlineMs }: Subject, more: Record<string, string>): Promise<string> {
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

/** The contract version of the handshake. */
const chosen = ({ line }: LaunchedPeer): number => Number(line.split('|')[1])

async function chooses(subject: Subject, offered: readonly number[] | null, expected: number): Promise<string> {
  const launched = await subject.launch({ versions: offered })
  const version = chosen(launched)
  const what = offered === null ? 'nothing offered' : `offered ${offered.join(', ')}`
  demand(version === expected, () => `${what}: it chose ${version}, due is ${expected} (it serves ${subject.versions.join(', ')})`)
  return `${what}: ${version}`
}

/** Above every version of the plugin. */
const beyond = ({ versions }: Subject): number => Math.max(...versions) + 1_000

/** Names that the children of a process have inherited, Linux only. */
function inheritedNames(pid: number): string[] | undefined {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
    if (children.length === 0) return undefined
    return children.flatMap(child =>
      readFileSync(`/proc/${child}/environ`, 'utf8')
        .split('\0')
        .map(entry => entry.replace(/=.*$/s, '')),
    )
  } catch {
    return undefined // No /proc here, or the child has gone meanwhile.
  }
}

/** Names in what a method returned: an object, an array of names, or lines of `NAME=value`. */
function namesIn(value: unknown): string[] {
  if (typeof value === 'string') return value.split('\n').map(line => line.replace(/=.*$/s, ''))
  if (Array.isArray(value)) return value.map(String)
  return typeof value === 'object' && value !== null ? Object.keys(value) : []
}

export const launchChecks: readonly Check[] = [
  {
    id: 'launch.by-hand',
    section: 'Launch',
    demands: 'without the cookie it says on stderr that it is a plugin, writes nothing on stdout and exits with 1',
    look: subject => refusesByHand(subject, {}),
  },
  {
    id: 'launch.wrong-cookie',
    section: 'Launch',
    demands: 'with another value of the cookie it does the same',
    look: subject => refusesByHand(subject, { [subject.cookie.key]: `not ${subject.cookie.value}` }),
  },
  {
    id: 'launch.handshake',
    section: 'Handshake',
    demands: 'it writes one line of eight fields, in the place that the wire has for it',
    look: async subject => {
      const { line, stdout } = await subject.launch({ versions: subject.versions })
      demand(Buffer.byteLength(line) < MAX_LINE_BYTES, () => `a line of ${Buffer.byteLength(line)} bytes`)
      const fields = line.split('|')
      demand(fields.length >= 8, () => `${fields.length} fields: ${line}`)
      const [core, version = '', network, address = '', protocol, certificate, multiplex, versions = ''] = fields
      demand(core === '1', () => `core version ${core}`)
      demand(/^\d+$/.test(version), () => `the contract version ${JSON.stringify(version)}`)
      demand(network === subject.wire, () => `the wire ${network}; asked for was ${subject.wire}`)
      const isPlace = { fd: address === '3', stdio: address === '-', unix: address.startsWith('/') }[subject.wire]
      demand(isPlace, () => `the address ${JSON.stringify(address)}`)
      demand(protocol === 'plugwire', () => `the protocol ${JSON.stringify(protocol)}`)
      demand(certificate === '', () => 'a certificate although there is no TLS')
      demand(multiplex === 'false', () => `multiplex ${JSON.stringify(multiplex)}`)
      demand(/^\d+(,\d+)*$/.test(versions), () => `the versions ${JSON.stringify(versions)}`)
      demand(versions.split(',').includes(version), () => `version ${version}, which is not among ${versions}`)
      demand(!/^\s*\d+\|/m.test(stdout()), () => `a second handshake on stdout: ${stdout().slice(0, 200)}`)
      return line
    },
  },
  {
    id: 'launch.version-highest',
    section: 'Launch',
    demands: 'of the versions that both sides have it chooses the highest, in whatever order they are offered',
    look: async subject => {
      const highest = Math.max(...subject.versions)
      const lowest = Math.min(...subject.versions)
      const seen = [await chooses(subject, [highest, beyond(subject), lowest], highest)]
      if (highest !== lowest) seen.push(await chooses(subject, [beyond(subject), lowest], lowest))
      return seen.join('; ')
    },
  },
  {
    id: 'launch.version-none',
    section: 'Launch',
    demands: 'when there is no common version it chooses its lowest',
    look: subject => chooses(subject, [beyond(subject)], Math.min(...subject.versions)),
  },
  {
    id: 'launch.version-absent',
    section: 'Launch',
    demands: 'when no versions are offered it chooses its lowest',
    look: subject => chooses(subject, null, Math.min(...subject.versions)),
  },
  {
    id: 'launch.environment',
    section: 'Launch',
    demands: 'it removes the variables of the launch from its environment',
    look: async subject => {
      const { peer, pid } = await subject.connect()
      let names: string[] | undefined
      if (subject.environmentMethod !== undefined) {
        const { reference, methods } = await subject.dispense(peer)
        const method = methods.indexOf(subject.environmentMethod)
        if (method < 0) throw new Unseen(`there is no method ${subject.environmentMethod}`)
        const { failed, value } = await peer.call({ target: reference, method })
        if (failed) throw new Unseen(`the method ${subject.environmentMethod} failed`)
        names = namesIn(value)
      } else {
        await peer.call({ method: Root.describe })
        names = inheritedNames(pid)
      }
      if (names === undefined) throw new Unseen('it starts no process that could be looked at; name a method that returns the environment')
      const left = [...launchVariables, subject.cookie.key].filter(name => names.includes(name))
      demand(left.length === 0, () => `still there: ${left.join(', ')}`)
      return `none of them among ${names.length} variables`
    },
  },
  {
    id: 'launch.interrupt',
    section: 'Launch',
    demands: 'it ignores SIGINT',
    look: async subject => {
      const { peer, kill } = await subject.connect()
      await peer.roundTrip()
      kill('SIGINT')
      await peer.roundTrip()
      await peer.call({ method: Root.describe })
      return 'it answers afterwards'
    },
  },
]
