// What the hosts of both protocols have in common: their flags, the plugin that most checks share, and the line of JSON for each check.
// The flags and the lines are those of go/host.go.

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { AnyContract } from 'plugwire'
import {
  isPluginError,
  type LaunchOptions,
  launch,
  type Plugin,
  type PluginHandle,
  type PluginRecord,
  type ReattachConfig,
  reattach,
  reattachConfig,
} from 'plugwire/host'
import { buildPeer } from '../src/peers.ts'

/** Why a check does not apply. */
export class Skip extends Error {}

/** A plugin with what it said. */
export interface Session<C extends AnyContract> {
  readonly plugin: Plugin<C>
  readonly records: readonly PluginRecord[]
  /** All that came as its stdout. */
  readonly stdout: () => string
  /** Where it makes its files. */
  readonly tmp: string
}

/** A check resolves to what is worth telling. It may use the plugin that all share, or launch its own. */
export type Check<C extends AnyContract> = (session: Session<C>, host: Host<C>) => Promise<string | undefined>

/** What checks of both protocols need of a plugin. */
export interface FaultsRemote {
  print(texts: { stdout?: string; stderr?: string; raw?: string }): Promise<unknown>
  log(level: string, message: string, fields: Record<string, string>): Promise<unknown>
  panic(text: string): Promise<unknown>
  exit(code: number): Promise<unknown>
  about(): Promise<{ language: string; pid: number; version: number; pluginEnvironment: readonly string[] }>
}

/** One protocol's side of the battery. */
export interface Battery<C extends AnyContract> {
  readonly contract: C
  /** Offers no version that any peer has. */
  readonly absentContract: AnyContract
  /** Offers several versions. */
  readonly severalContract: AnyContract
  readonly checks: { readonly [name: string]: Check<C> }
  /** Calls there and back through the broker. */
  readonly useBroker: Check<C>
  readonly faultsOf: (plugin: Plugin<C>) => Promise<FaultsRemote>
}

interface Options {
  tls: string
  mux: boolean
  reattach: string | undefined
  only: readonly string[] | undefined
  pour: number
  patienceMs: number
  verbose: boolean
  command: readonly string[]
}

function optionsOf(given: readonly string[]): Options {
  const options: Options = {
    tls: 'none',
    mux: false,
    reattach: undefined,
    only: undefined,
    pour: 2 ** 30,
    patienceMs: 30_000,
    verbose: false,
    command: [],
  }
  const rest = [...given]
  while (rest[0]?.startsWith('-')) {
    const flag = rest.shift()
    if (flag === '-mux') options.mux = true
    else if (flag === '-v') options.verbose = true
    else {
      const value = rest.shift()
      if (value === undefined) throw new Error(`${flag} lacks its value`)
      if (flag === '-tls') options.tls = value
      else if (flag === '-reattach') options.reattach = value
      else if (flag === '-only') options.only = value.split(',')
      else if (flag === '-pour') options.pour = Number(value)
      else if (flag === '-patience') options.patienceMs = Number.parseFloat(value) * 1000
      else throw new Error(`${flag} is no flag of a host`)
    }
  }
  options.command = rest
  if (rest.length === 0 && options.reattach === undefined) throw new Error('no plugin command')
  return options
}

/** Runs checks against one command. */
export class Host<C extends AnyContract> {
  readonly options: Options
  readonly #battery: Battery<C>
  readonly #parent: string
  readonly #certificate: string | undefined
  readonly #counts = { passed: 0, failed: 0, skipped: 0 }

  constructor(battery: Battery<C>, options: Options, parent: string, certificate: string | undefined) {
    this.#battery = battery
    this.options = options
    this.#parent = parent
    this.#certificate = certificate
  }

  async run(): Promise<number> {
    let shared: Session<C> | undefined
    await this.#judge('launch', async () => {
      shared = this.options.reattach === undefined ? await this.launch() : await this.attach(reattachConfig(this.options.reattach))
      const { wire, handshake } = shared.plugin
      return `${handshake?.protocol ?? 'attached'} over ${wire}, version ${handshake?.version ?? '?'}`
    })
    if (shared !== undefined) {
      const session = shared
      for (const [name, check] of Object.entries({ ...this.#battery.checks, ...lifeChecks(this.#battery) })) {
        if (this.options.only?.includes(name) !== false) await this.#judge(name, () => check(session, this))
      }
      await shared.plugin.close()
    }
    console.log(JSON.stringify({ summary: true, ...this.#counts }))
    return this.#counts.failed > 0 ? 1 : 0
  }

  async #judge(check: string, run: () => Promise<string | undefined>): Promise<void> {
    const began = performance.now()
    const ended = (verdict: object): void => console.log(JSON.stringify({ check, ...verdict, ms: Math.round(performance.now() - began) }))
    const late = new AbortController()
    try {
      const patience = setTimeout(this.options.patienceMs, undefined, { signal: late.signal }).then(() => {
        throw new Error('did not end')
      })
      const detail = await Promise.race([run(), patience])
      this.#counts.passed++
      ended({ ok: true, detail })
    } catch (error) {
      if (error instanceof Skip) this.#counts.skipped++
      else this.#counts.failed++
      ended(error instanceof Skip ? { ok: true, skip: error.message } : { ok: false, detail: textOf(error) })
    } finally {
      late.abort()
    }
  }

  /** Launches a plugin with a folder of its own for what it and the host leave behind. */
  launch(env: Record<string, string> = {}): Promise<Session<C>> {
    return this.launchAs(this.#battery.contract, env) as Promise<Session<C>>
  }

  async launchAs(contract: AnyContract, env: Record<string, string> = {}): Promise<Session<AnyContract>> {
    const [command, ...args] = this.options.command as [string, ...string[]]
    const tmp = mkdtempSync(join(this.#parent, 't-'))
    const records: PluginRecord[] = []
    const options: LaunchOptions = {
      env: { ...env, ...(this.#certificate !== undefined && { PEER_TLS: this.#certificate }) },
      tls: this.options.tls === 'auto',
      multiplex: this.options.mux,
      stdout: 'pipe',
      logger: record => {
        if (this.options.verbose) console.error(record)
        records.push(record)
      },
      ...(this.#certificate !== undefined && { tlsOptions: { ca: readFileSync(join(this.#certificate, 'cert.pem')) } }),
    }
    // Sockets of the host go there, too.
    const outer = process.env['TMPDIR']
    process.env['TMPDIR'] = tmp
    try {
      const plugin = await launch(contract, { command, args }, options)
      const chunks: Uint8Array[] = []
      plugin.stdout?.on('data', chunk => chunks.push(chunk))
      return { plugin, records, stdout: () => Buffer.concat(chunks).toString(), tmp }
    } finally {
      if (outer === undefined) delete process.env['TMPDIR']
      else process.env['TMPDIR'] = outer
    }
  }

  async attach(config: ReattachConfig): Promise<Session<C>> {
    const plugin = (await reattach(this.#battery.contract, config, { logger: false })) as Plugin<C>
    return { plugin, records: [], stdout: () => '', tmp: this.#parent }
  }

  /** For checks that end a plugin. */
  needsOwn(): void {
    if (this.options.reattach !== undefined) throw new Skip('needs a plugin of its own')
  }

  needsOutput(): void {
    if (this.options.reattach !== undefined) throw new Skip('a plugin in test mode keeps its output')
  }

  needsPlain(): void {
    const { mux, tls, reattach: attached } = this.options
    if (mux || tls !== 'none' || attached !== undefined) throw new Skip('go-plugin attaches only without TLS and multiplexing')
  }
}

/** The whole program: runs a battery with the flags it was given. */
export async function main<C extends AnyContract>(battery: Battery<C>): Promise<void> {
  const options = optionsOf(process.argv.slice(2))
  const parent = mkdtempSync(join(tmpdir(), 'peer-'))
  try {
    let certificate: string | undefined
    if (options.tls === 'static') {
      certificate = join(parent, 'certificate')
      mkdirSync(certificate)
      execFileSync(await buildPeer('peer'), ['certificate', certificate])
    }
    process.exitCode = await new Host(battery, options, parent, certificate).run()
  } finally {
    rmSync(parent, { recursive: true, force: true })
  }
}

export function textOf(error: unknown): string {
  return error instanceof Error ? `${'code' in error ? `${error.code}: ` : ''}${error.message}` : String(error)
}

/** Waits until it holds; the caller's patience bounds it. */
export async function eventually(
  holds: () => boolean | Promise<boolean>,
  signal: AbortSignal = AbortSignal.timeout(10_000),
): Promise<void> {
  while (!(await holds())) await setTimeout(5, undefined, { signal })
}

/** Runs `count` at once and resolves when all have ended well. */
export async function allOf(count: number, run: (i: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, i) => run(i)))
}

// ---- checks that are the same over both protocols

function lifeChecks<C extends AnyContract>({
  faultsOf,
  useBroker,
  absentContract,
  severalContract,
  contract,
}: Battery<C>): {
  readonly [name: string]: Check<C>
} {
  const withOwn =
    (run: (own: Session<C>, faults: FaultsRemote, host: Host<C>) => Promise<string | undefined>, env?: Record<string, string>): Check<C> =>
    async (_shared, host) => {
      host.needsOwn()
      const own = await host.launch(env)
      try {
        return await run(own, await faultsOf(own.plugin), host)
      } finally {
        await own.plugin.kill()
      }
    }
  return {
    about: async ({ plugin }, host) => {
      const about = await (await faultsOf(plugin)).about()
      const version = contract.versions[0]?.version
      if (about.version !== version) throw new Error(`version is ${about.version}, not ${version}`)
      if (host.options.reattach === undefined && about.pid !== plugin.pid) throw new Error(`pid is ${about.pid}, not ${plugin.pid}`)
      return `${about.language}; ${about.pluginEnvironment.join(' ')}`
    },
    stdio: async ({ plugin, stdout, records }, host) => {
      host.needsOutput()
      const faults = await faultsOf(plugin)
      await faults.print({ stdout: 'to stdout: å\n', stderr: 'to stderr: ö\n' })
      const isError = (record: PluginRecord): boolean => record.stream === 'stderr' && record.message === 'to stderr: ö'
      await eventually(() => stdout().includes('to stdout: å\n') && records.some(isError))
      let large = ''
      for (let i = 0; large.length < 1 << 20; i++) large += `line ${i}\n`
      await faults.print({ stdout: large })
      await eventually(() => stdout().endsWith(large))
      return 'and 1 MiB in order'
    },
    logs: async ({ plugin, records }, host) => {
      host.needsOutput()
      const faults = await faultsOf(plugin)
      for (const level of ['trace', 'debug', 'info', 'warn', 'error']) {
        const message = `a record at ${level}`
        await faults.log(level, message, { color: 'blå', quoted: '"x"' })
        await eventually(() => records.some(record => record.message === message))
        const record = records.find(one => one.message === message)
        if (record?.level !== level || record.fields['color'] !== 'blå' || record.fields['quoted'] !== '"x"')
          throw new Error(`came as ${JSON.stringify(record)}`)
        if (Math.abs(record.time.getTime() - Date.now()) > 60_000) throw new Error(`its time is ${record.time.toISOString()}`)
      }
      return 'five levels with fields and time'
    },
    'raw-stderr': async ({ plugin, records }, host) => {
      host.needsOutput()
      const long = 'x'.repeat(200_000)
      await (await faultsOf(plugin)).print({ raw: `[WARN] mind the gap\n${long}\n[INFO] after it\n{"@message":5,"@level":"info"}\n` })
      const has = (level: string, text: string): boolean => records.some(one => one.level === level && one.message.includes(text))
      await eventually(
        () => has('info', 'after it') && has('warn', 'mind the gap') && records.some(one => one.message.includes('"@message":5')),
      )
      return 'levels by prefix, around a line of 200 KB, and a record that is none'
    },
    interrupt: withOwn(async ({ plugin }, faults) => {
      process.kill(plugin.pid, 'SIGINT')
      await setTimeout(50)
      await faults.about()
      return 'SIGINT is ignored'
    }),
    kill: withOwn(async ({ plugin }) => {
      const began = performance.now()
      const ending = await plugin.close()
      const tookMs = Math.round(performance.now() - began)
      const { exitCode, signal } = await plugin.exited
      if (tookMs > 2_000 || exitCode !== 0) throw new Error(`${ending} after ${tookMs} ms with ${signal ?? exitCode}`)
      return `gone after ${tookMs} ms`
    }),
    files: async (_shared, host) => filesLeft(host),
    'files-broker': async (_shared, host) => filesLeft(host, useBroker),
    'kill-lingering': withOwn(
      async ({ plugin }) => {
        const began = performance.now()
        const ending = await plugin.close()
        const tookMs = Math.round(performance.now() - began)
        const { signal } = await plugin.exited
        if (tookMs < 1_000 || tookMs > 6_000 || signal === null) throw new Error(`${ending} after ${tookMs} ms with ${signal}`)
        return `${ending} after ${tookMs} ms`
      },
      { PEER_LINGER_MS: '20000' },
    ),
    panic: withOwn(async ({ plugin, records }, faults) => {
      const text = 'everything is lost'
      const failure = await rejection(faults.panic(text))
      const { exitCode, signal } = await plugin.exited
      const line = records.find(({ message }) => message.startsWith('panic: ') && message.includes(text))
      const stack = records.filter(({ level }) => level === 'error').length
      if (line?.level !== 'error' || stack < 3) throw new Error(`level ${line?.level}, ${stack} records at error`)
      if (exitCode === 0) throw new Error('exit code 0')
      return `${signal ?? `exit code ${exitCode}`}, ${stack} lines at error; the call: ${textOf(failure).split('\n')[0]}`
    }),
    exit: withOwn(async ({ plugin }, faults) => {
      const failure = await rejection(faults.exit(7))
      const { exitCode } = await plugin.exited
      if (exitCode !== 7) throw new Error(`exit code ${exitCode}`)
      return textOf(failure).split('\n')[0]
    }),
    'version-none': async (_shared, host) => {
      host.needsOwn()
      const failure = await rejection(host.launchAs(absentContract))
      if (!isPluginError(failure, 'ERR_VERSION_MISMATCH')) throw failure
      return failure.message.split('\n')[0]
    },
    'version-highest': async (_shared, host) => {
      host.needsOwn()
      const { plugin } = await host.launchAs(severalContract)
      await plugin.ping()
      await plugin.close()
      return `${plugin.handshake?.version} (${plugin.handshake?.protocol})`
    },
    'second-host': async ({ plugin }, host) => {
      host.needsPlain()
      const second = await host.attach(reattachConfigOf(plugin))
      const about = await (await faultsOf(second.plugin)).about()
      await second.plugin.close()
      if (about.pid !== plugin.pid) throw new Error(`pid is ${about.pid}, not ${plugin.pid}`)
      await plugin.ping()
      return 'both use the same process'
    },
  }
}

function reattachConfigOf({ handshake, pid }: PluginHandle): ReattachConfig {
  if (handshake === undefined) throw new Error('the plugin was attached to')
  const { protocol, version, network, address } = handshake
  return { Protocol: protocol, ProtocolVersion: version, Pid: pid, Test: true, Addr: { Network: network, String: address } }
}

/** Ends a plugin properly and looks what is left where it and the host made their sockets. */
async function filesLeft<C extends AnyContract>(host: Host<C>, use?: Check<C>): Promise<string> {
  host.needsOwn()
  const own = await host.launch()
  try {
    await use?.(own, host)
  } finally {
    await own.plugin.close()
  }
  const left = readdirSync(own.tmp)
  if (left.length > 0) throw new Error(`${left.length} left in TMPDIR, such as ${left[0]}`)
  return 'none left in TMPDIR'
}

/** What a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  let came: unknown
  try {
    came = await promise
  } catch (error) {
    return error
  }
  throw new Error(`the call came back: ${JSON.stringify(came)}`)
}
