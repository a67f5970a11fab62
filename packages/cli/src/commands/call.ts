// `plugwire call`: one call, from the shell. Values are JSON, streams are printed as they come, Ctrl-C cancels.

import type { Command } from 'commander'
import type { Contract } from 'plugwire'
import { isRemoteError, methodsOf, type Plugin, PluginError, withOptions } from 'plugwire/host'
import { argumentHelp, readArgument } from '../arguments.ts'
import type { Context } from '../context.ts'
import { CallFailure, type CommandFailure, usage } from '../failure.ts'
import { isByteStream, remoteMethodsOf } from '../json-values.ts'
import { describe } from '../output.ts'
import { addTargetOptions, findTarget, launchOptionsOf, launchTarget, readMilliseconds, type TargetOptions } from '../target.ts'

interface CallOptions extends TargetOptions {
  readonly config?: string
  readonly timeout?: number
  readonly raw?: boolean
}

export function addCall(program: Command, context: Context): void {
  const command = program
    .command('call')
    .summary('call one method of a plugin')
    .description(
      'Launches a plugin, dispenses one instance, calls one method of it and prints what it returns.\n\n' +
        'A stream is printed as it comes, one item a line; a stream of bytes goes to stdout as it is. Ctrl-C cancels the call: the ' +
        "plugin's method sees its signal aborted, a generator its `finally`. The plugin's log and output go to stderr.",
    )
    .argument('<plugin>', 'a file (.js, .ts, or anything executable), or a program in PATH')
    .argument('<kind.method>', 'what to dispense, and which of its methods to call')
    .argument('[values...]', 'the arguments, each a value; see below')
  addTargetOptions(command)
    .option('--config <json>', 'what to dispense the instance with')
    .option('--timeout <ms>', 'milliseconds until the call is given up and cancelled', readMilliseconds)
    .option('--raw', 'print a text, or bytes, as they are')
  context.finish(command, [
    'plugwire call ./plugin.js greeter.greet \'"world"\'',
    'plugwire call ./plugin.js store.put \'"key"\' bytes:@picture.png --config \'{"region":"eu"}\'',
    'plugwire call ./plugin.js store.watch \'"user/"\' --json | head -3',
    'cat rows.ndjson | plugwire call ./plugin.js store.load items:@-',
  ])
  command.addHelpText('after', `\nValues:\n${argumentHelp.replace(/^/gm, '  ')}`)
  command.action((plugin: string, path: string, values: string[], options: CallOptions) =>
    context.run(options, () => call(plugin, path, values, options, context)),
  )
}

/** Reads `--config`. */
export async function readConfig(text: string | undefined): Promise<unknown> {
  return text === undefined ? undefined : readArgument(text, { stdin: process.stdin, called: () => {} })
}

async function call(name: string, path: string, values: readonly string[], options: CallOptions, context: Context): Promise<void> {
  const { signal } = context
  const dot = path.lastIndexOf('.')
  if (dot <= 0 || dot === path.length - 1)
    throw usage(`${path}: name a kind and one of its methods, as in store.get; plugwire inspect ${name} lists them`)
  const [kind, method] = [path.slice(0, dot), path.slice(dot + 1)]
  // What cannot be understood is said before anything is started.
  if (values.filter(value => /(^|:)@-$/.test(value)).length > 1) throw usage('only one argument can come from stdin')
  let listening = false
  const called = (args: readonly unknown[]): void => {
    void (async () => {
      for (const item of args.length === 1 ? args : [args]) await context.output.value(item)
    })()
  }
  let badInput: CommandFailure | undefined
  const failed = (failure: CommandFailure): void => {
    badInput ??= failure
  }
  const config = await readConfig(options.config)
  const args: unknown[] = []
  for (const value of values) {
    args.push(await readArgument(value, { stdin: process.stdin, called, failed }))
    if (value.startsWith('callback:')) listening = true
  }
  const target = await findTarget(name, options, signal)
  const plugin = await launchTarget(target, options, launchOptionsOf(options, signal))
  try {
    await callOn(plugin, { kind, method, args, config, listening }, options, context)
    if (badInput !== undefined) throw badInput
  } catch (failure) {
    // The plugin hands on what it was handed; it is not to blame.
    throw badInput ?? failure
  } finally {
    // A source that nobody reads to its end would keep this process.
    process.stdin.destroy()
    await plugin.close()
  }
}

interface Request {
  readonly kind: string
  readonly method: string
  readonly args: readonly unknown[]
  readonly config: unknown
  /** A callback was passed: it is called until Ctrl-C. */
  readonly listening: boolean
}

async function callOn(plugin: Plugin<Contract>, request: Request, options: CallOptions, context: Context): Promise<void> {
  const { kind, method, args, config } = request
  const { signal } = context
  const instance = (await unlessAborted(plugin.dispense(kind, config), signal).catch((cause: unknown) => {
    throw explained(cause, 'factory', request)
  })) as AsyncDisposable
  try {
    const methods = methodsOf(instance)
    if (!methods.includes(method)) throw new PluginError('ERR_METHOD_NOT_FOUND', { method, kind, methods })
    const remote = withOptions(instance, { signal, ...(options.timeout !== undefined && { timeoutMs: options.timeout }) })
    const result = await (remote as unknown as Record<string, (...args: readonly unknown[]) => Promise<unknown>>)[method]?.(...args)
    await print(result, request, plugin, options, context)
  } catch (cause) {
    throw explained(cause, 'method', request)
  } finally {
    if (plugin.state === 'ready') await unlessStuck(Promise.resolve(instance[Symbol.asyncDispose]()), signal)
  }
}

/** Says which part of the plugin threw, and what may have been missing. */
function explained(cause: unknown, thrower: 'factory' | 'method', { kind, config }: Request): unknown {
  if (!isRemoteError(cause)) return cause
  const misses = config === undefined && cause.name === 'TypeError'
  return new CallFailure(thrower, kind, cause, misses ? 'If it needs a configuration, give one with --config JSON.' : undefined)
}

async function print(result: unknown, request: Request, plugin: Plugin<Contract>, options: CallOptions, context: Context): Promise<void> {
  const { output, signal } = context
  const isObject = typeof result === 'object' && result !== null
  const isStream = isObject && remoteMethodsOf(result) === undefined && Symbol.asyncIterator in result
  if (isStream) {
    const raw = !options.json && (isByteStream(result) || options.raw === true)
    for await (const item of untilAborted(result as AsyncIterable<unknown>, signal)) {
      if (raw && (item instanceof Uint8Array || typeof item === 'string')) await output.bytes(item)
      else await output.value(item)
    }
    return
  }
  if (options.raw && (typeof result === 'string' || result instanceof Uint8Array)) await output.bytes(result)
  else if (!request.listening || (result !== undefined && describe(result) === undefined)) await output.value(result)
  if (request.listening) await listen(plugin, signal)
  if ((isObject || typeof result === 'function') && Symbol.asyncDispose in (result as object) && describe(result) !== undefined) {
    await (result as AsyncDisposable)[Symbol.asyncDispose]()
  }
}

/** Callbacks may come until Ctrl-C, or until the plugin ends. */
async function listen(plugin: Plugin<Contract>, signal: AbortSignal): Promise<void> {
  // An idle connection does not keep this process.
  const alive = setInterval(() => {}, 2 ** 30)
  try {
    const exit = await Promise.race([plugin.exited, aborted(signal)])
    if (exit !== undefined) throw new PluginError('ERR_PLUGIN_EXITED', { plugin: plugin.name, ...exit })
  } finally {
    clearInterval(alive)
  }
}

/** Leaves the loop when the signal aborts, also while the next item is awaited; the producer is told. */
async function* untilAborted<T>(items: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const source = (isByteStream(items) ? readerOf(items) : items[Symbol.asyncIterator]()) as AsyncIterator<T>
  // One listener for all items: each race against one promise would be kept until the signal aborts.
  let leave = (): void => {}
  const onAbort = (): void => leave()
  signal.addEventListener('abort', onAbort)
  let finished = false
  try {
    while (!signal.aborted) {
      const next = await new Promise<IteratorResult<T> | undefined>((resolve, reject) => {
        leave = () => resolve(undefined)
        source.next().then(resolve, reject)
      })
      if (next === undefined) return
      finished = next.done === true
      if (finished) return
      yield next.value
    }
  } catch (cause) {
    finished = true
    throw cause
  } finally {
    signal.removeEventListener('abort', onAbort)
    if (!finished) await unlessStuck(Promise.resolve(source.return?.()), signal)
  }
}

/** The stream's own iterator cannot be left while it waits for bytes. */
function readerOf(stream: ReadableStream<Uint8Array>): AsyncIterator<Uint8Array> {
  const reader = stream.getReader()
  return {
    next: async () => (await reader.read()) as IteratorResult<Uint8Array>,
    return: async () => {
      await reader.cancel()
      return { done: true, value: undefined }
    },
  }
}

/** Milliseconds that the plugin's own code has for an answer once the user has had enough. */
const PATIENCE_MS = 1_000

/** Waits for the plugin, but not for ever when the user wants to leave. */
async function unlessStuck(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = aborted(signal).then(
    () =>
      new Promise(resolve => {
        timer = setTimeout(resolve, PATIENCE_MS)
      }),
  )
  try {
    await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

async function unlessAborted<T>(work: PromiseLike<T>, signal: AbortSignal): Promise<T> {
  const first = await Promise.race([Promise.resolve(work).then(value => ({ value })), aborted(signal)])
  if (first === undefined) throw signal.reason
  return first.value
}

function aborted(signal: AbortSignal): Promise<undefined> {
  if (signal.aborted) return Promise.resolve(undefined)
  return new Promise(resolve => signal.addEventListener('abort', () => resolve(undefined), { once: true }))
}
