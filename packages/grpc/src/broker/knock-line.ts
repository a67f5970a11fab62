// Brokered connections as streams of the main one. Whoever dials knocks, is answered, and opens a stream: the next that comes is for that id.
// So the order of streams must be the order of answers. Whoever serves may be given knocks at any time; whoever dials knocks once at a time, because a
// Go host gives a stream to any of those who were answered. Source: go-plugin grpc_broker.go, grpcmux.

import type { Duplex } from 'node:stream'
import { PluginError } from 'plugwire/driver'
import type { ConnInfo } from '../plugin-services/control-messages.ts'
import type { Channel, GrpcServer } from '../transport/seam.ts'
import { Dialled, Served } from './endings.ts'
import {
  type BrokeredService,
  type DialOptions,
  type InfoQueue,
  type Line,
  type LineGround,
  lineEnded,
  MAX_UNCLAIMED_IDS,
  MEETING_MS,
} from './line.ts'
import type { SharedConnection } from './shared-connection.ts'

/**
 * Milliseconds that a dial keeps others waiting, with its knock and again with its stream, while the other side shows no sign of life. An id that nobody
 * serves takes no longer of the others' time.
 */
const TURN_MS = 500

interface Dialler {
  readonly timeoutMs: number
  readonly signal: AbortSignal
  resolve(connection: Duplex): void
  reject(cause: unknown): void
}

/** The knocks of one id. A Go peer keeps one knock of each id, so that one is under way at a time. */
interface Knocking {
  /** Knocks without an answer so far. Whoever knocked may have given up; the other side counts on a stream all the same. */
  unanswered: number
  current: Dialler | undefined
  /** It waits for its turn. */
  waits: boolean
  readonly next: Dialler[]
}

export class KnockLine implements Line {
  readonly #ground: Pick<LineGround, 'createServer' | 'createChannel'>
  readonly #say: InfoQueue
  readonly #connection: SharedConnection
  readonly #meetingMs: number
  readonly #served = new Map<number, Served>()
  /** Ids that were served once, so that a knock can be answered at once. */
  readonly #gone = new Set<number>()
  /** Knocks for ids that nobody serves yet. */
  readonly #knocks = new Map<number, ReturnType<typeof setTimeout>>()
  readonly #knocking = new Map<number, Knocking>()
  readonly #dialled = new Dialled()
  readonly #turns = new Turns()
  #end: PluginError | undefined

  constructor(ground: Pick<LineGround, 'createServer' | 'createChannel' | 'meetingMs'>, say: InfoQueue, connection: SharedConnection) {
    this.#ground = ground
    this.#say = say
    this.#connection = connection
    this.#meetingMs = ground.meetingMs ?? MEETING_MS
  }

  get ended(): boolean {
    return this.#end !== undefined
  }

  get callsServed(): number {
    return [...this.#served.values()].reduce((calls, { server }) => calls + server.callsInFlight, 0)
  }

  // ------------------------------------------------------------------------------------------------ serving

  async serve(id: number, register: (server: GrpcServer) => void): Promise<BrokeredService> {
    if (this.#end !== undefined) throw this.#end
    if (this.#served.has(id)) throw new PluginError('ERR_BROKER_REFUSED', { brokerId: id, reason: 'it is served already' })
    const server = this.#ground.createServer()
    register(server)
    const served = new Served(id, server, () => {
      this.#served.delete(id)
      bounded(this.#gone).add(id)
    })
    this.#served.set(id, served)
    this.#gone.delete(id)
    const knock = this.#knocks.get(id)
    if (knock !== undefined) {
      clearTimeout(knock)
      this.#knocks.delete(id)
      this.#letIn(served)
    }
    return served
  }

  #onKnock(id: number): void {
    const served = this.#served.get(id)
    if (served !== undefined) this.#letIn(served)
    else if (this.#gone.has(id)) this.#answer(id, 'it is served no longer')
    else if (this.#knocks.has(id)) return
    else if (this.#knocks.size >= MAX_UNCLAIMED_IDS) this.#answer(id, 'too many ids that nobody serves')
    else {
      // No answer when nobody comes to serve it: the dialler has given up by then, and might take it for the answer to its next knock.
      const timer = setTimeout(() => this.#knocks.delete(id), this.#meetingMs)
      timer.unref()
      this.#knocks.set(id, timer)
    }
  }

  #letIn(served: Served): void {
    const expected = this.#connection.expect(connection => {
      if (served.ended) connection.destroy()
      else served.server.inject(connection)
    }, this.#meetingMs)
    // Only after the stream is expected: it may come as soon as the answer has left.
    this.#answer(served.id, expected === undefined ? 'too many streams are expected' : '')
  }

  #answer(id: number, error: string): void {
    this.#tell({ serviceId: id, network: '', address: '', knock: { knock: true, ack: true, error } })
  }

  #tell(info: ConnInfo): void {
    try {
      this.#say.push(info)
    } catch (cause) {
      this.end(cause)
    }
  }

  // ------------------------------------------------------------------------------------------------ dialling

  async dial(id: number, { timeoutMs = this.#meetingMs, signal }: DialOptions = {}): Promise<Channel> {
    if (this.#end !== undefined) throw this.#end
    signal?.throwIfAborted()
    const channel = this.#ground.createChannel(unwanted => this.#open(id, timeoutMs, unwanted))
    await this.#dialled.connect(id, channel, signal)
    if (this.#end === undefined) return channel
    channel.destroy(this.#end)
    throw this.#end
  }

  #open(id: number, timeoutMs: number, signal: AbortSignal): Promise<Duplex> {
    if (this.#end !== undefined) return Promise.reject(this.#end)
    return new Promise((resolve, reject) => {
      let knocking = this.#knocking.get(id)
      if (knocking === undefined) this.#knocking.set(id, (knocking = { unanswered: 0, current: undefined, waits: false, next: [] }))
      knocking.next.push({ timeoutMs, signal, resolve, reject })
      this.#knock(id, knocking)
    })
  }

  /** Knocks for the next who dials this id, as soon as it is this id's turn. */
  #knock(id: number, knocking: Knocking): void {
    if (knocking.current !== undefined || knocking.waits) return
    const [next] = knocking.next
    if (next === undefined) {
      if (knocking.unanswered === 0) this.#knocking.delete(id)
      return
    }
    knocking.waits = true
    this.#turns.take(turn => {
      knocking.waits = false
      const dialler = knocking.next.shift()
      if (dialler !== undefined && !dialler.signal.aborted) return this.#knockNow(id, knocking, dialler, turn)
      turn.end()
      dialler?.reject(dialler.signal.reason)
      this.#knock(id, knocking)
    })
  }

  #knockNow(id: number, knocking: Knocking, dialler: Dialler, turn: Turn): void {
    const { signal, timeoutMs } = dialler
    const over = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      knocking.current = undefined
    }
    knocking.current = {
      ...dialler,
      resolve: connection => {
        over()
        turn.extend()
        connection.once('answered', () => turn.end()).once('close', () => turn.end())
        dialler.resolve(connection)
      },
      reject: cause => {
        over()
        turn.end()
        dialler.reject(cause)
      },
    }
    const giveUp = (cause: unknown): void => {
      knocking.current?.reject(cause)
      this.#knock(id, knocking)
    }
    const abort = (): void => giveUp(signal.reason)
    const timer = setTimeout(
      () => giveUp(new PluginError('ERR_BROKER_TIMEOUT', { brokerId: id, reason: 'the other side did not answer the knock', timeoutMs })),
      timeoutMs,
    )
    signal.addEventListener('abort', abort)
    knocking.unanswered += 1
    this.#tell({ serviceId: id, network: '', address: '', knock: { knock: true, ack: false, error: '' } })
  }

  /** An answer. Its stream is opened before anything else is read, so that streams are in the order of answers. */
  #onAnswer(id: number, refusal: string): void {
    const knocking = this.#knocking.get(id)
    if (knocking === undefined || knocking.unanswered === 0) return
    knocking.unanswered -= 1
    const { current } = knocking
    if (refusal !== '') {
      current?.reject(new PluginError('ERR_BROKER_REFUSED', { brokerId: id, reason: `the other side says: ${refusal}` }))
    } else {
      try {
        if (current === undefined) this.#connection.openInVain()
        else current.resolve(this.#connection.open())
      } catch (cause) {
        current?.reject(cause)
      }
    }
    this.#knock(id, knocking)
  }

  // ------------------------------------------------------------------------------------------------ both

  receive({ serviceId, knock }: ConnInfo): void {
    if (this.#end !== undefined) return
    if (knock?.knock === true && !knock.ack) this.#onKnock(serviceId)
    else if (knock === undefined) this.#onAnswer(serviceId, 'an address, although connections are brokered inside the main one')
    else this.#onAnswer(serviceId, knock.error !== '' ? knock.error : knock.knock ? '' : 'neither yes nor no')
  }

  end(cause?: unknown): void {
    if (this.#end !== undefined) return
    this.#end = lineEnded(cause)
    this.#say.end()
    for (const timer of this.#knocks.values()) clearTimeout(timer)
    this.#knocks.clear()
    for (const { current, next } of this.#knocking.values()) {
      current?.reject(this.#end)
      for (const dialler of next) dialler.reject(this.#end)
    }
    this.#knocking.clear()
    this.#turns.clear()
    for (const served of [...this.#served.values()]) served.destroy()
    this.#dialled.destroyAll(this.#end)
  }
}

/** The right to knock. */
class Turn {
  #timer: ReturnType<typeof setTimeout> | undefined
  #over: (() => void) | undefined

  constructor(over: () => void) {
    this.#over = over
    this.extend()
  }

  /** Something has happened: a little longer. */
  extend(): void {
    clearTimeout(this.#timer)
    if (this.#over === undefined) return
    this.#timer = setTimeout(() => this.end(), TURN_MS)
    this.#timer.unref()
  }

  end(): void {
    clearTimeout(this.#timer)
    const over = this.#over
    this.#over = undefined
    over?.()
  }
}

/** Turns, one after the other. */
class Turns {
  #queue: ((turn: Turn) => void)[] = []
  #current: Turn | undefined

  take(start: (turn: Turn) => void): void {
    this.#queue.push(start)
    if (this.#current === undefined) this.#next()
  }

  #next(): void {
    const start = this.#queue.shift()
    this.#current = undefined
    if (start === undefined) return
    const turn = new Turn(() => {
      if (this.#current === turn) this.#next()
    })
    this.#current = turn
    start(turn)
  }

  clear(): void {
    this.#queue = []
    this.#current?.end()
  }
}

/** Makes room for one more id. */
function bounded(ids: Set<number>): Set<number> {
  if (ids.size >= MAX_UNCLAIMED_IDS) for (const oldest of ids) return ids.delete(oldest) ? ids : ids
  return ids
}
