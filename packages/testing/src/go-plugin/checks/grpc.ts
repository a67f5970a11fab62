// What hosts rely on in plugins that speak gRPC.

import { existsSync } from 'node:fs'
import { duplexLink } from 'plugwire/driver'
import { Session } from 'plugwire/mux'
import { demand, Unmet, Unseen } from '../../check.ts'
import type { GoCheck, GoSubject } from '../check.ts'
import type { GoPeer } from '../go-peer.ts'
import { frame, messagesOf, type RawAnswer, RawGrpc, textField } from '../raw-grpc.ts'
import { streamDuplex } from '../stream-duplex.ts'
import { strayOutput } from './launch.ts'

const OK = 0
const UNIMPLEMENTED = 12
const HEALTH = '/grpc.health.v1.Health/Check'
const SHUTDOWN = '/plugin.GRPCController/Shutdown'
const STDIO = '/plugin.GRPCStdio/StreamStdio'
const BROKER = '/plugin.GRPCBroker/StartStream'
/** Milliseconds that a host waits after Shutdown. Source: go-plugin client.go `Kill`. */
const KILL_MS = 2_000

const says = ({ status, message, httpStatus }: RawAnswer): string =>
  status === -1 ? `no gRPC status (HTTP ${httpStatus})` : `status ${status}${message && `: ${message}`}`

async function healthy(grpc: RawGrpc, service: string): Promise<string> {
  const answer = await grpc.unary(HEALTH, service === '' ? new Uint8Array() : textField(1, service))
  demand(answer.status === OK, () => says(answer))
  demand(
    answer.messages[0]?.toString('hex') === '0801',
    () => `it answers ${answer.messages[0]?.toString('hex') ?? 'nothing'}, SERVING is 0801`,
  )
  return 'SERVING'
}

/** Ends it as hosts do. */
async function shutDown(peer: GoPeer, grpc: RawGrpc): Promise<string> {
  // The connection may go before the answer; a host does not mind.
  const answered = await grpc.unary(SHUTDOWN).then(says, () => 'no answer')
  const { exitCode, signal } = await peer.within(peer.exited, `it still ran after Shutdown (${answered})`, KILL_MS)
  demand(signal === null, () => `it was ended by ${signal}`)
  return `${answered}, then exit code ${exitCode}`
}

/** Long enough for a stream that does not stay open to end. */
const quiet = (): Promise<undefined> => new Promise(resolve => setTimeout(() => resolve(undefined), 200))

/** `ConnInfo` for an id. */
const connInfo = (id: number, more: Buffer = Buffer.alloc(0)): Buffer => Buffer.concat([Buffer.of(8, id), more])
const KNOCK = Buffer.of(0x22, 2, 8, 1)

async function multiplexed(subject: GoSubject): Promise<{ peer: GoPeer; session: Session; grpc: RawGrpc }> {
  const peer = await subject.launch({ multiplex: true })
  if (peer.fields[6] !== 'true') throw new Unseen('it does not say that it can')
  const session = new Session(duplexLink(await peer.connect()), { role: 'client', onEnded: () => undefined })
  const grpc = await RawGrpc.over(streamDuplex(session.open()), subject.deadlineMs)
  return { peer, session, grpc }
}

export const grpcChecks: readonly GoCheck[] = [
  {
    id: 'grpc.health',
    protocol: 'grpc',
    demands: 'the health service says that "plugin" is SERVING',
    otherwise: '`Ping` fails, and hosts that look first do not use it',
    look: async subject => healthy((await subject.grpc()).grpc, 'plugin'),
  },
  {
    id: 'grpc.unknown-method',
    protocol: 'grpc',
    demands: 'a method that it has not is answered with UNIMPLEMENTED as a gRPC status',
    otherwise: '"unexpected HTTP status code received from server: 404"',
    look: async subject => {
      const answer = await (await subject.grpc()).grpc.unary('/conformance.None/Such')
      demand(answer.status === UNIMPLEMENTED, () => says(answer))
      return 'UNIMPLEMENTED'
    },
  },
  {
    id: 'grpc.stdio',
    protocol: 'grpc',
    demands: 'it serves the stream of what it prints, and keeps it open',
    otherwise: '"failed to stream stdio": what it prints is lost',
    look: async subject => {
      const { grpc } = await subject.grpc()
      const call = grpc.open(STDIO)
      const messages = messagesOf(call.duplex)
      call.duplex.end(frame(new Uint8Array()))
      const ended = call.answer(messages).catch(() => undefined)
      const first = await Promise.race([ended, quiet()])
      if (first?.status === UNIMPLEMENTED) throw new Unmet('UNIMPLEMENTED')
      demand(first === undefined, () => `it ended: ${first && says(first)}`)
      return 'it stays open'
    },
  },
  {
    id: 'grpc.broker',
    protocol: 'grpc',
    demands: 'it serves the stream of the broker; an id that nobody dials, and one announced twice, harm nothing',
    otherwise: 'services of the host cannot be reached by the plugin',
    look: async subject => {
      const { grpc } = await subject.grpc()
      const call = grpc.open(BROKER)
      const messages = messagesOf(call.duplex)
      const ended = call.answer(messages).catch(() => undefined)
      const nowhere = Buffer.concat([textField(2, 'unix'), textField(3, '/nonexistent/socket')])
      for (const id of [101, 101, 102]) call.duplex.write(frame(connInfo(id, nowhere)))
      call.duplex.write(frame(connInfo(103, KNOCK)))
      const first = await Promise.race([ended, quiet()])
      demand(first === undefined, () => `it ended: ${first && says(first)}`)
      return `it stays open; ${await healthy(grpc, 'plugin')}`
    },
  },
  {
    id: 'grpc.concurrent',
    protocol: 'grpc',
    demands: 'it answers five hundred calls at once, over two connections',
    otherwise: 'calls hang where a host makes many',
    look: async subject => {
      const { peer, grpc } = await subject.grpc()
      const other = await RawGrpc.over(await peer.connect(), subject.deadlineMs)
      await Promise.all(Array.from({ length: 500 }, (_, index) => healthy(index % 2 === 0 ? grpc : other, 'plugin')))
      return '500 answers'
    },
  },
  {
    id: 'grpc.reconnect',
    protocol: 'grpc',
    demands: 'when its host has lost the connection it takes another one',
    otherwise: 'a host that comes back (grpc-go does) finds it deaf',
    look: async subject => {
      const { peer, grpc } = await subject.grpc()
      await healthy(grpc, 'plugin')
      grpc.close()
      return healthy(await RawGrpc.over(await peer.connect(), subject.deadlineMs), 'plugin')
    },
  },
  {
    id: 'grpc.resets',
    protocol: 'grpc',
    demands: 'nine hundred calls that are cancelled at once leave the connection alive',
    otherwise: 'the connection is ended as an attack, and with it the broker and what it prints',
    look: async subject => {
      const { grpc } = await subject.grpc()
      await healthy(grpc, 'plugin')
      // nghttp2, and so Node 20, takes a thousand for an attack, and cannot be told otherwise.
      for (let round = 0; round < 9; round++) {
        for (let index = 0; index < 100; index++) grpc.open(HEALTH).duplex.close(8)
        await new Promise(resolve => setImmediate(resolve))
      }
      return healthy(grpc, 'plugin')
    },
  },
  {
    id: 'grpc.shutdown',
    protocol: 'grpc',
    demands: 'told to shut down it ends by itself within two seconds',
    otherwise: 'every host waits two seconds for each plugin, and kills it',
    look: async subject => {
      const { peer, grpc } = await subject.grpc()
      await healthy(grpc, 'plugin')
      return shutDown(peer, grpc)
    },
  },
  {
    id: 'grpc.leaves-nothing',
    protocol: 'grpc',
    demands: 'having been shut down it leaves no socket behind',
    otherwise: 'the temporary directory fills up',
    look: async subject => {
      const { peer, grpc } = await subject.grpc()
      await shutDown(peer, grpc)
      if (peer.network !== 'unix') throw new Unseen(`it listens on ${peer.network}`)
      demand(!existsSync(peer.address), () => `${peer.address} is still there`)
      return 'nothing is left'
    },
  },
  {
    id: 'grpc.stdout-is-free',
    protocol: 'grpc',
    demands: 'it writes nothing to the real stdout behind the line',
    otherwise: 'nobody sees it: hosts drop what comes there',
    look: async subject => {
      const { peer, grpc } = await subject.grpc()
      await healthy(grpc, 'plugin')
      await shutDown(peer, grpc)
      demand(strayOutput(peer.stdout) === '', () => strayOutput(peer.stdout).slice(0, 200))
      return 'nothing'
    },
  },
  {
    id: 'grpc.multiplex-answer',
    protocol: 'grpc',
    demands: 'asked for multiplexing it says in a seventh field whether it can',
    otherwise: '"client requested gRPC broker multiplexing but plugin does not support the feature"',
    look: async subject => {
      const { fields, line } = await subject.launch({ multiplex: true })
      demand(fields[6] === 'true' || fields[6] === 'false', () => line)
      return `${fields[6]}`
    },
  },
  {
    id: 'grpc.multiplex',
    protocol: 'grpc',
    demands: 'where it can, its calls run inside a yamux stream, and a knock for an id that nobody serves harms nothing',
    otherwise: 'the host waits for its connection, and fails',
    look: async subject => {
      const { session, grpc } = await multiplexed(subject)
      try {
        await healthy(grpc, 'plugin')
        const call = grpc.open(BROKER)
        const messages = messagesOf(call.duplex)
        call.answer(messages).catch(() => undefined)
        call.duplex.write(frame(connInfo(77, KNOCK)))
        await new Promise(resolve => setTimeout(resolve, 100))
        return await healthy(grpc, 'plugin')
      } finally {
        session.destroy()
      }
    },
  },
  {
    id: 'grpc.multiplex-shutdown',
    protocol: 'grpc',
    demands: 'multiplexed, it ends within two seconds as well',
    otherwise: 'every host waits two seconds for it, and kills it',
    look: async subject => {
      const { peer, session, grpc } = await multiplexed(subject)
      try {
        await healthy(grpc, 'plugin')
        return await shutDown(peer, grpc)
      } finally {
        session.destroy()
      }
    },
  },
]
