// What stays where it is while a reference to it travels: functions, objects, signals, iterables and streams.
// One table a connection and side: exports are ours and lent to the peer, imports are the peer's and lent to us.

import { isByRef } from '../by-ref.ts'
import { PluginError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import type { ByteSink, Stream } from '../mux/stream.ts'
import { ChunkMode, MessageType, ReferenceKind } from '../wire/call-frames.ts'
import type { Outbox } from '../wire/outbox.ts'
import type { ErrorValue, ReferenceReader, ReferenceWriter, ValueEncoder } from '../wire/values.ts'
import {
  drainToNodeWritable,
  drainToWebWritable,
  receiveNodeReadable,
  receiveWebReadable,
  type StreamSlot,
  type StreamTalk,
  sendFromNodeWritable,
  sendFromWebWritable,
  sendNodeReadable,
  sendWebReadable,
} from './byte-stream.ts'
import { callContext } from './call-context.ts'
import { Dispensed } from './dispensed.ts'
import { FlowState, trackFlow } from './flow.ts'
import { type ItemCodec, ItemProducer, RemoteIterable } from './item-stream.ts'
import { type MethodTable, methodTable } from './method-table.ts'
import { RemoteError } from './remote-error.ts'
import { type Caller, createRemoteFunction, createRemoteObject, type Held, heldBy, remoteMethods } from './remote-object.ts'

/** Something of ours that the peer may call. */
export interface Export {
  readonly id: number
  /** What the methods are called on; undefined for a plain function. */
  readonly target: object | undefined
  readonly name: string
  readonly methods: MethodTable
  /** References the peer holds. */
  count: number
}

/** What references need of their connection. */
export interface ReferenceOwner extends Caller {
  readonly limits: Limits
  /** The name of the plugin, for messages. */
  readonly peerName: string
  openStream(): Stream
  /** Finds a stream that the peer opened, or will open. */
  claimStream(id: number): StreamSlot
  /** Sends a message whose body is an id and a value. */
  sendValue(type: number, id: number, value: unknown): void
  sendRelease(id: number, count: number): void
  sendSignalGone(id: number): void
  sendTune(streamId: number, weight: number, maxBytesPerSecond: number): void
  /** Something is in flight: keeps the process alive until `letGo`. */
  hold(): void
  letGo(): void
}

/** References made while one value is encoded; undone when encoding fails, found again when it is tried a second time. */
interface Draft {
  readonly kind: number
  readonly id: number
  readonly detail: unknown
  readonly undo: () => unknown
  readonly start: (() => void) | undefined
  /** It can be read or written by one side only, so it may occur once. */
  readonly once?: boolean
}

export class References implements ReferenceWriter, ReferenceReader, ItemCodec, StreamTalk {
  readonly #owner: ReferenceOwner
  readonly limits: Limits
  readonly #exports = new Map<number, Export>()
  #lastFound: Export | undefined
  readonly #exported = new WeakMap<object, Export>()
  /** References that the peer has not given back yet, by the id of an export that is disposed. */
  readonly #disposed = new Map<number, number>()
  #nextExport = 1
  readonly #imports = new Map<number, { readonly thing: WeakRef<object>; readonly held: Held }>()
  readonly #importCount = { value: 0 }
  readonly #signalsOut = new WeakMap<AbortSignal, number>()
  readonly #liveSignalsOut = new Map<number, { readonly signal: WeakRef<AbortSignal>; readonly listener: () => void }>()
  readonly #signalsIn = new Map<number, AbortController>()
  readonly #abortReasons = new Map<number, unknown>()
  /** Drafts of each thing in the value, in order: each time that it occurs is a reference of its own. */
  #drafts: Map<object, Draft[]> | undefined
  /** How often each thing has occurred in the present attempt. */
  readonly #occurred = new Map<object, number>()
  readonly #collected: FinalizationRegistry<Held>
  readonly #unreadCollected: FinalizationRegistry<() => void>
  readonly #signalCollected: FinalizationRegistry<number>
  readonly #producers = new Set<ItemProducer>()
  #ended = false
  /** True while arguments are decoded: what comes among them was lent for a call, and nobody expects that it is disposed. */
  lent = false

  constructor(owner: ReferenceOwner) {
    this.#owner = owner
    this.limits = owner.limits
    this.#collected = new FinalizationRegistry(held => {
      if (held.released || this.#ended) return
      held.released = true
      if (held.lent || held.name.startsWith('function')) this.release(held)
      else {
        process.emitWarning(
          `a reference to ${held.name} of ${owner.peerName} was lost without being disposed; use \`await using\` or call [Symbol.asyncDispose]()`,
          {
            type: 'PlugwireWarning',
            code: 'PLUGWIRE_UNDISPOSED',
          },
        )
        this.release(held)
      }
    })
    this.#unreadCollected = new FinalizationRegistry(reset => reset())
    this.#signalCollected = new FinalizationRegistry(id => {
      this.#liveSignalsOut.delete(id)
      if (!this.#ended) this.#owner.sendSignalGone(id)
    })
  }

  // ------------------------------------------------------------------------------------------------ exports

  /** Offers an object under a fixed id; for the roots. */
  exportRoot(id: number, target: object, name: string, methods: MethodTable): void {
    this.#exports.set(id, { id, target, name, methods, count: Number.POSITIVE_INFINITY })
  }

  get exportCount(): number {
    return this.#exports.size
  }

  find(id: number): Export | undefined {
    // One call after the other goes to the same object.
    const last = this.#lastFound
    if (last !== undefined && last.id === id) return last
    this.#lastFound = this.#exports.get(id)
    return this.#lastFound
  }

  #add(target: object | undefined, name: string, methods: MethodTable): Export {
    if (this.#exports.size >= this.limits.maxReferences) {
      throw new PluginError('ERR_CALL_LIMIT', { limit: 'references held by the other side', max: this.limits.maxReferences })
    }
    const made: Export = { id: this.#nextExport++, target, name, methods, count: 0 }
    this.#exports.set(made.id, made)
    return made
  }

  /** The peer gave back `count` references. Returns what to dispose, when that was the last. */
  giveBack(id: number, count: number): Export | undefined {
    const entry = this.#exports.get(id)
    if (entry === undefined && this.giveBackDisposed(id, [count])) return undefined
    if (entry === undefined || count > entry.count || count === 0) throw tooOften(id)
    entry.count -= count
    return entry.count === 0 ? this.forget(entry) : undefined
  }

  /** The peer disposes an export for all who hold it, and gives back references in the same breath. */
  dispose(entry: Export, args: readonly unknown[]): Export {
    const left = entry.count - checkedCount(entry.id, args)
    if (left < 0) throw tooOften(entry.id)
    if (left > 0) this.#disposed.set(entry.id, left)
    return this.forget(entry)
  }

  /** The peer gives back references to what is disposed already: they were on their way to it. False when it holds none. */
  giveBackDisposed(id: number, args: readonly unknown[]): boolean {
    const held = this.#disposed.get(id)
    if (held === undefined) return false
    const left = held - checkedCount(id, args)
    if (left < 0) throw tooOften(id)
    if (left > 0) this.#disposed.set(id, left)
    else this.#disposed.delete(id)
    return true
  }

  /** Takes an export back for good. */
  forget(entry: Export): Export {
    this.#exports.delete(entry.id)
    this.#lastFound = undefined
    if (entry.target !== undefined && this.#exported.get(entry.target) === entry) this.#exported.delete(entry.target)
    return entry
  }

  // ------------------------------------------------------------------------------------------------ encoding

  encode(encoder: ValueEncoder, out: Outbox, value: unknown, root: string): void {
    try {
      encoder.encode(out, value, root)
    } catch (cause) {
      this.rollback()
      throw cause
    }
    this.commit()
  }

  get references(): this {
    return this
  }

  /** Encoding succeeded: what was drafted is sent. */
  commit(): void {
    const drafts = this.#drafts
    if (drafts === undefined) return
    this.#drafts = undefined
    this.#occurred.clear()
    for (const ofOne of drafts.values()) for (const draft of ofOne) draft.start?.()
  }

  /** The same value is encoded once more, from its beginning. */
  again(): void {
    this.#occurred.clear()
  }

  /** Encoding failed: the peer never hears of what was drafted. */
  rollback(): void {
    const drafts = this.#drafts
    if (drafts === undefined) return
    this.#drafts = undefined
    this.#occurred.clear()
    for (const ofOne of drafts.values()) for (const draft of ofOne) draft.undo()
  }

  write(value: object, encoder: ValueEncoder): boolean {
    const earlier = this.#drafts?.get(value)
    const occurred = earlier === undefined ? 0 : (this.#occurred.get(value) ?? 0)
    const draft = earlier?.[occurred] ?? this.#draft(value)
    if (draft === undefined) return false
    if (earlier === undefined) (this.#drafts ??= new Map()).set(value, [draft])
    else if (occurred === earlier.length) {
      earlier.push(draft)
      if (draft.once) throw unsendableStream('a stream that is in this value twice')
    }
    this.#occurred.set(value, occurred + 1)
    encoder.writeReference(draft.kind, draft.id, draft.detail)
    return true
  }

  #draft(value: object): Draft | undefined {
    const held = heldBy(value)
    if (held !== undefined && held.caller === this.#owner) {
      if (held.held.released) throw new PluginError('ERR_REFERENCE_RELEASED', { what: held.held.name })
      return { kind: ReferenceKind.yours, id: held.held.id, detail: undefined, undo: nothing, start: undefined }
    }
    if (value instanceof Dispensed) return this.#draftDispensed(value)
    if (typeof value === 'function') return this.#draftExport(value, ReferenceKind.function, `function ${value.name || '(anonymous)'}`)
    if (value instanceof AbortSignal) return this.#draftSignal(value)
    if (value instanceof ReadableStream) return this.#draftWebReadable(value)
    if (value instanceof WritableStream)
      return this.#draftStream(ReferenceKind.webWritable, value, locked(value.locked), (stream, settled) =>
        drainToWebWritable(value, stream, this, settled),
      )
    if (isNodeReadable(value)) {
      if (value.readableObjectMode) return this.#draftItems(value)
      return this.#draftStream(ReferenceKind.nodeReadable, value, undefined, (stream, settled) => {
        stream.write(Uint8Array.of(ChunkMode.bytes))
        sendNodeReadable(value, stream, this, settled)
      })
    }
    if (isNodeWritable(value))
      return this.#draftStream(ReferenceKind.nodeWritable, value, undefined, (stream, settled) =>
        drainToNodeWritable(value, stream, this, settled),
      )
    const isObject = isByRef(value) || Symbol.asyncDispose in value || Symbol.dispose in value || held !== undefined
    if (Symbol.asyncIterator in value && !(isByRef(value) || held !== undefined)) return this.#draftItems(value as AsyncIterable<unknown>)
    return isObject ? this.#draftExport(value, ReferenceKind.object, value.constructor?.name || 'object') : undefined
  }

  #draftExport(target: object, kind: number, name: string): Draft {
    let entry = this.#exported.get(target)
    if (entry === undefined || !this.#exports.has(entry.id)) {
      const made = kind === ReferenceKind.function ? functionTable(target as () => unknown) : this.#tableOf(target)
      entry = this.#add(kind === ReferenceKind.function ? undefined : target, name, made)
      this.#exported.set(target, entry)
    }
    const exported = entry
    exported.count++
    return {
      kind,
      id: exported.id,
      detail: kind === ReferenceKind.object ? [exported.name, exported.methods.names] : undefined,
      undo: () => {
        if (--exported.count === 0) this.forget(exported)
      },
      start: undefined,
    }
  }

  #draftDispensed({ target, name, methods }: Dispensed): Draft {
    const entry = this.#add(target, name, methods)
    entry.count = 1
    return {
      kind: ReferenceKind.object,
      id: entry.id,
      detail: [name, methods.names],
      undo: () => this.forget(entry),
      start: undefined,
    }
  }

  #tableOf(target: object): MethodTable {
    const names = remoteMethods(target)
    if (names === undefined) return methodTable(target)
    // An object of another plugin, offered on: its calls go through this process.
    const remote = target as Record<string, (...args: unknown[]) => unknown>
    return { names, functions: names.map(name => remote[name] as (...args: unknown[]) => unknown) }
  }

  #draftSignal(signal: AbortSignal): Draft {
    let id = this.#signalsOut.get(signal)
    const detail = signal.aborted ? [sendableReason(signal.reason)] : undefined
    let undo = nothing
    if (id === undefined) {
      const fresh = (id = this.#nextExport++)
      if (!signal.aborted) {
        const listener = (): void => {
          this.#liveSignalsOut.delete(fresh)
          const aborted = weak.deref()
          if (!this.#ended) this.#owner.sendValue(MessageType.signal, fresh, sendableReason(aborted?.reason))
        }
        const weak = new WeakRef(signal)
        signal.addEventListener('abort', listener, { once: true })
        this.#liveSignalsOut.set(fresh, { signal: weak, listener })
        this.#signalsOut.set(signal, fresh)
        this.#signalCollected.register(signal, fresh, signal)
        undo = () => {
          signal.removeEventListener('abort', listener)
          this.#liveSignalsOut.delete(fresh)
          this.#signalsOut.delete(signal)
          this.#signalCollected.unregister(signal)
        }
      }
    }
    return { kind: ReferenceKind.signal, id, detail, undo, start: undefined }
  }

  #draftItems(iterable: AsyncIterable<unknown>): Draft {
    const metadata = callContext()?.metadata ?? {}
    return this.#draftStream(ReferenceKind.iterable, iterable, undefined, (stream, settled) => {
      const producer: ItemProducer = new ItemProducer(
        stream,
        this,
        () => iterable[Symbol.asyncIterator](),
        settled,
        () => this.#producers.delete(producer),
        metadata,
      )
      this.#producers.add(producer)
    })
  }

  #draftWebReadable(value: ReadableStream<unknown>): Draft {
    return this.#draftStream(ReferenceKind.webReadable, value, locked(value.locked), (stream, settled) => {
      stream.write(Uint8Array.of(ChunkMode.bytes))
      void sendWebReadable(value.getReader(), stream, this, settled)
    })
  }

  #draftStream(kind: number, value: object, refusal: string | undefined, start: (stream: Stream, settled: () => void) => void): Draft {
    if (refusal !== undefined) throw unsendableStream(refusal)
    const stream = this.#owner.openStream()
    return {
      kind,
      id: stream.id,
      detail: undefined,
      undo: () => stream.reset(),
      once: kind !== ReferenceKind.iterable,
      start: () => {
        const hold = this.#holding()
        trackFlow(value, new FlowState(this.#owner, kind !== ReferenceKind.webWritable && kind !== ReferenceKind.nodeWritable).bind(stream))
        start(stream, hold)
      },
    }
  }

  /** Keeps the process alive until what it returns is called. */
  #holding(): () => void {
    let held = true
    this.#owner.hold()
    return () => {
      if (!held) return
      held = false
      this.#owner.letGo()
    }
  }

  // ------------------------------------------------------------------------------------------------ decoding

  read(kind: number, id: number, detail: unknown): unknown {
    switch (kind) {
      case ReferenceKind.yours: {
        const entry = this.#exports.get(id)
        if (entry === undefined || id === 0) throw malformed(`a reference to export ${id}, which there is not`)
        return entry.target ?? entry.methods.functions[0]
      }
      case ReferenceKind.function:
        return this.#import(id, 'function', held => createRemoteFunction(this.#owner, held))
      case ReferenceKind.object: {
        const [name, methods] = checkedDetail(detail)
        return this.#import(id, name, held => createRemoteObject(this.#owner, held, methods))
      }
      case ReferenceKind.signal:
        return this.#importSignal(id, detail)
      case ReferenceKind.iterable:
        return this.#importItems(id)
      case ReferenceKind.webReadable:
        return this.#importStream(id, kind, (slot, touched) => receiveWebReadable(slot, this, touched))
      case ReferenceKind.nodeReadable:
        return this.#importStream(id, kind, (slot, touched) => receiveNodeReadable(slot, this, touched))
      case ReferenceKind.webWritable:
        return this.#importStream(id, kind, slot => sendFromWebWritable(slot, this))
      case ReferenceKind.nodeWritable:
        return this.#importStream(id, kind, slot => sendFromNodeWritable(slot, this))
      default:
        throw malformed(`a reference of unknown kind ${kind}`)
    }
  }

  error(error: ErrorValue): Error {
    // Its stack is the sender's; finding out ours would take longer than all the rest. `Reflect`, as the limit may be frozen.
    const { stackTraceLimit } = Error
    Reflect.set(Error, 'stackTraceLimit', 0)
    const made = new RemoteError(error)
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit)
    return made
  }

  #import(id: number, name: string, make: (held: Held) => object): object {
    const known = this.#imports.get(id)
    const thing = known?.thing.deref()
    if (known !== undefined && thing !== undefined && !known.held.released) {
      known.held.count++
      return thing
    }
    if (this.#importCount.value >= this.limits.maxReferences) {
      throw new PluginError('ERR_CALL_LIMIT', { limit: 'references of the other side', max: this.limits.maxReferences })
    }
    this.#importCount.value++
    const held: Held = { id, name, count: 1, released: false, lent: this.lent }
    const made = make(held)
    this.#imports.set(id, { thing: new WeakRef(made), held })
    this.#collected.register(made, held)
    return made
  }

  /** Gives a reference back. */
  release(held: Held): void {
    this.forgetImport(held)
    if (!this.#ended) this.#owner.sendRelease(held.id, held.count)
  }

  /** The reference is gone without being given back: its object was disposed over there. */
  forgetImport(held: Held): void {
    if (this.#imports.get(held.id)?.held === held) this.#imports.delete(held.id)
    this.#importCount.value--
  }

  #importSignal(id: number, detail: unknown): AbortSignal {
    if (detail !== undefined) {
      const controller = new AbortController()
      controller.abort(Array.isArray(detail) ? detail[0] : undefined)
      return controller.signal
    }
    let controller = this.#signalsIn.get(id)
    if (controller === undefined) {
      if (this.#signalsIn.size >= this.limits.maxReferences) {
        throw new PluginError('ERR_CALL_LIMIT', { limit: 'signals of the other side', max: this.limits.maxReferences })
      }
      controller = new AbortController()
      this.#signalsIn.set(id, controller)
    }
    return controller.signal
  }

  /** The peer's signal was aborted. */
  signalAborted(id: number, reason: unknown): void {
    const controller = this.#signalsIn.get(id)
    this.#signalsIn.delete(id)
    controller?.abort(reason)
  }

  /** The peer will never abort this signal. */
  signalGone(id: number): void {
    this.#signalsIn.delete(id)
  }

  #importItems(id: number): RemoteIterable {
    const iterable = new RemoteIterable(this)
    const steering = new FlowState(this.#owner, false)
    trackFlow(iterable, steering)
    const slot = this.#owner.claimStream(id)
    const settled = this.#holding()
    let arrived: Stream | undefined
    const weak = new WeakRef(iterable)
    // The stream must not keep alive an iterable that nobody holds: it is reset when the iterable is collected unread.
    slot.then(
      stream => {
        arrived = stream
        const target = weak.deref()
        if (target === undefined) {
          stream.reset()
          settled()
          return
        }
        steering.bind(stream)
        target.attach(stream, undefined, this.limits.maxValueBytes + 1, settled)
      },
      cause => {
        settled()
        weak.deref()?.attach(undefined, cause, 0, settled)
      },
    )
    this.#unreadCollected.register(iterable, () => arrived?.reset())
    return iterable
  }

  #importStream(id: number, kind: number, make: (slot: StreamSlot, touched: () => void) => object): object {
    const slot = this.#owner.claimStream(id)
    const settled = this.#holding()
    const readable = kind === ReferenceKind.webReadable || kind === ReferenceKind.nodeReadable
    let waiting: { arrived(stream: Stream): void; never(cause: PluginError): void } | undefined
    let opened: Stream | undefined
    let failure: PluginError | undefined
    let borrower: ByteSink | undefined
    const steering = new FlowState(
      this.#owner,
      !readable,
      readable
        ? sink => {
            borrower = sink
            if (opened !== undefined) lend(opened, sink)
          }
        : undefined,
    )
    const made = make(
      {
        then(arrived, never) {
          if (opened !== undefined) arrived(opened)
          else if (failure !== undefined) never(failure)
          else waiting = { arrived, never }
        },
      },
      () => steering.touched(),
    )
    trackFlow(made, steering)
    slot.then(
      stream => {
        stream.onForgotten = settled
        steering.bind(stream)
        const open = (): void => {
          opened = stream
          if (borrower !== undefined) lend(stream, borrower)
          else waiting?.arrived(stream)
        }
        if (!readable) open()
        else {
          stream.growWindow(BYTE_WINDOW_BYTES)
          stripMode(stream, open)
        }
      },
      cause => {
        failure = cause
        settled()
        if (borrower !== undefined) borrower.fail(cause)
        else waiting?.never(cause)
      },
    )
    return made
  }

  // ------------------------------------------------------------------------------------------------ streams given up

  abort(stream: Stream, reason: unknown): void {
    if (stream.failure !== undefined) return
    this.#owner.sendValue(MessageType.abort, stream.id, sendableReason(reason))
    stream.reset()
  }

  /** The peer gave a stream up; its reset follows. */
  streamAborted(id: number, reason: unknown): void {
    if (this.#abortReasons.size >= this.limits.maxStreams) this.#abortReasons.clear()
    this.#abortReasons.set(id, reason)
  }

  reasonFor(stream: Stream, failure: PluginError): unknown {
    if (!this.#abortReasons.has(stream.id)) return failure
    const reason = this.#abortReasons.get(stream.id)
    this.#abortReasons.delete(stream.id)
    return reason
  }

  // ------------------------------------------------------------------------------------------------ ending

  /** Ends the iterables of ours that the peer reads; resolves when their `finally` has run, which may be never. */
  async stopProducers(): Promise<void> {
    await Promise.all([...this.#producers].map(producer => producer.stop()))
  }

  /** Takes back all exports but the root. Returns them, to be disposed. */
  takeBack(): Export[] {
    const taken = [...this.#exports.values()].filter(entry => entry.count !== Number.POSITIVE_INFINITY)
    for (const entry of taken) this.forget(entry)
    return taken
  }

  /** The connection ended. Returns what the peer held, to be disposed. */
  end(reason: unknown): Export[] {
    this.#ended = true
    for (const controller of this.#signalsIn.values()) controller.abort(reason)
    this.#signalsIn.clear()
    for (const { signal, listener } of this.#liveSignalsOut.values()) signal.deref()?.removeEventListener('abort', listener)
    this.#liveSignalsOut.clear()
    const left = this.takeBack()
    this.#exports.clear()
    this.#lastFound = undefined
    this.#imports.clear()
    return left
  }
}

/** Bytes of one byte stream that may be under way unread: a full pipe and as much again, so that its sender need not wait for us. */
const BYTE_WINDOW_BYTES = 4 * 1_048_576

const nothing = (): void => undefined

const tooOften = (id: number): PluginError =>
  new PluginError('ERR_CALL_FRAME', { reason: `reference ${id} was given back more often than it was sent`, offset: 0 })

function checkedCount(id: number, args: readonly unknown[]): number {
  const [count] = args
  if (args.length !== 1 || !Number.isInteger(count) || (count as number) < 1) {
    throw new PluginError('ERR_CALL_FRAME', { reason: `reference ${id} was disposed without saying how many are given back`, offset: 0 })
  }
  return count as number
}

const malformed = (reason: string): PluginError => new PluginError('ERR_VALUE_MALFORMED', { reason, offset: 0 })

const unsendableStream = (type: string): PluginError =>
  new PluginError('ERR_VALUE_UNSUPPORTED', { path: 'stream', type, remedy: 'Pass a stream that nobody reads or writes yet' })

const locked = (isLocked: boolean): string | undefined => (isLocked ? 'a stream that is locked' : undefined)

const MAX_METHODS = 4_096

function checkedDetail(detail: unknown): [string, readonly string[]] {
  if (Array.isArray(detail) && detail.length === 2) {
    const [name, methods] = detail as unknown[]
    if (
      typeof name === 'string' &&
      Array.isArray(methods) &&
      methods.length <= MAX_METHODS &&
      methods.every(method => typeof method === 'string')
    ) {
      return [name, methods as string[]]
    }
  }
  throw malformed('a reference to an object whose methods cannot be read')
}

function functionTable(target: (...args: unknown[]) => unknown): MethodTable {
  return { names: [''], functions: [target] }
}

/** Reasons of aborts are anything; what cannot travel is told in words. */
function sendableReason(reason: unknown): unknown {
  return reason === undefined || reason instanceof Error || typeof reason === 'string' || typeof reason === 'number'
    ? reason
    : String(reason)
}

interface NodeReadable extends AsyncIterable<unknown> {
  readonly readableObjectMode: boolean
}

const isNodeReadable = (value: object): value is import('node:stream').Readable & NodeReadable =>
  'readableFlowing' in value &&
  typeof (value as { pipe?: unknown }).pipe === 'function' &&
  typeof (value as { on?: unknown }).on === 'function'

const isNodeWritable = (value: object): value is import('node:stream').Writable =>
  'writableFinished' in value &&
  typeof (value as { write?: unknown }).write === 'function' &&
  typeof (value as { on?: unknown }).on === 'function'

/** Lets a sink of the application have the bytes where they lie. */
function lend(stream: Stream, sink: ByteSink): void {
  stream.consume({
    chunk: (bytes, start, end) => sink.chunk(bytes, start, end),
    end() {
      stream.end()
      sink.end()
    },
    fail: cause => sink.fail(cause),
  })
  stream.resume()
}

/** Takes the first byte of a readable's stream, which says what its chunks are. */
function stripMode(stream: Stream, open: () => void): void {
  let stripped = false
  stream.consume({
    chunk(bytes, start, end) {
      if (stripped) return
      stripped = true
      if (bytes[start] !== ChunkMode.bytes) throw malformed(`a byte stream of unknown mode ${bytes[start]}`)
      open()
      if (end > start + 1) stream.deliver(bytes, start + 1, end)
    },
    end() {
      open()
    },
    fail() {
      open()
    },
  })
}
