// The scenes: each does something real, measures it, and says whether it went as promised.
import { spawn, spawnSync } from 'node:child_process'
import { createReadStream, readFileSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { byRef, flow, isPluginError, type LaunchOptions, launch, reattach, withOptions } from 'plugwire/host'
import { kv } from '../../01-hello/store.ts'
import { lab } from '../../02-streams/lab.ts'
import { kitchen, type Storey } from '../../03-callbacks/kitchen.ts'
import { counters } from '../../04-instances/counter.ts'
import { parsers } from '../contract.ts'

export interface Outcome {
  readonly happened: string
  readonly measured: string
  readonly ok: boolean
}

export interface Scene {
  readonly title: string
  play(): Promise<Outcome>
}

const beside = (path: string): URL => new URL(path, import.meta.url)
const example = {
  hello: beside('../../01-hello/plugin.js'),
  streams: beside('../../02-streams/plugin.js'),
  callbacks: beside('../../03-callbacks/plugin.js'),
  counters: beside('../../04-instances/plugin.js'),
  old: beside('../../04-instances/old-plugin.js'),
}
const repository = new URL('../../../../', import.meta.url)

/** Processes that were started; in the end all have to be gone. */
const pids = new Set<number>()

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
const ms = (value: number): string => `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  try {
    // It has ended, and only waits for whoever inherited it to take notice.
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return process.platform !== 'linux'
  }
}

/** Milliseconds until all of them are gone; undefined when that takes too long. */
async function goneAfter(some: readonly number[], limitMs: number): Promise<number | undefined> {
  const started = performance.now()
  while (some.some(isAlive)) {
    if (performance.now() - started > limitMs) return undefined
    await sleep(2)
  }
  return performance.now() - started
}

async function start(): Promise<Outcome> {
  const bare: number[] = []
  const called: number[] = []
  let handshakeMs = 0
  for (let round = 0; round < 3; round++) {
    const begun = performance.now()
    spawnSync(process.execPath, ['-e', '0'])
    bare.push(performance.now() - begun)
    const launched = performance.now()
    const plugin = await launch(kv, example.hello, { logger: false })
    pids.add(plugin.pid)
    const store = await plugin.dispense('store', { region: 'eu' })
    await store.get('nothing')
    called.push(performance.now() - launched)
    handshakeMs = plugin.timings?.handshakeMs ?? 0
    await plugin.close()
  }
  return {
    happened: 'a plugin process was launched, shook hands and answered its first call',
    measured: `${ms(median(called))} to the first answer (handshake ${ms(handshakeMs)}); \`node -e 0\` alone takes ${ms(median(bare))}`,
    ok: called.length === 3,
  }
}

async function instances(): Promise<Outcome> {
  await using plugin = await launch(counters, example.old, { logger: false })
  pids.add(plugin.pid)
  if (plugin.version !== 1) throw new Error('the old plugin speaks version 1')
  const started = performance.now()
  const many = await Promise.all(Array.from({ length: 1_000 }, (_, from) => plugin.dispense('counter', { name: `${from}`, from })))
  const each = ((performance.now() - started) * 1_000) / many.length
  const values = await Promise.all(many.map(counter => counter.add(1)))
  await Promise.all(many.map(counter => counter[Symbol.asyncDispose]()))
  return {
    happened: `${many.length} instances with configurations of their own in process ${plugin.pid}, which is of an older contract version`,
    measured: `${each.toFixed(0)} µs each`,
    ok: values.every((value, index) => value === index + 1),
  }
}

async function calls(): Promise<Outcome> {
  await using plugin = await launch(counters, example.old, { logger: false })
  pids.add(plugin.pid)
  if (plugin.version !== 1) throw new Error('the old plugin speaks version 1')
  await using counter = await plugin.dispense('counter', { name: 'calls', from: 0 })
  const many = async (inFlight: number, forMs: number): Promise<number> => {
    const started = performance.now()
    let done = 0
    const loop = async (): Promise<void> => {
      for (; performance.now() - started < forMs; done++) await counter.add(1)
    }
    await Promise.all(Array.from({ length: inFlight }, loop))
    return done / ((performance.now() - started) / 1_000)
  }
  await many(64, 150) // compiles what is hot
  const [one, sixtyFour] = [await many(1, 150), await many(64, 200)]
  return {
    happened: 'awaited method calls, one after the other and 64 at a time',
    measured: `${(1e6 / one).toFixed(0)} µs a call; ${Math.round(sixtyFour).toLocaleString('en')} calls/s at 64`,
    ok: one > 0 && sixtyFour > one,
  }
}

async function streams(): Promise<Outcome> {
  await using plugin = await launch(lab, example.streams, { logger: false })
  pids.add(plugin.pid)
  await using remote = await plugin.dispense('lab')
  const download = await remote.noise()
  let bytes = 0
  download.on('data', (chunk: Uint8Array) => {
    bytes += chunk.length
  })
  await sleep(100)
  bytes = 0
  const started = performance.now()
  await sleep(250)
  const rate = bytes / (performance.now() - started) / 1e6

  // No call waits behind it: an own connection is not needed for them.
  const waits: number[] = []
  for (let call = 0; call < 50; call++) {
    const begun = performance.now()
    await plugin.ping()
    waits.push(performance.now() - begun)
  }
  download.destroy()
  return {
    happened: 'a download as fast as it goes, and round trips on the same connection meanwhile',
    measured: `${rate.toFixed(2)} GB/s; a round trip beside it takes ${ms(median(waits))}`,
    ok: rate > 0 && waits.length === 50,
  }
}

async function steering(): Promise<Outcome> {
  await using plugin = await launch(lab, example.streams, { logger: false })
  pids.add(plugin.pid)
  await using remote = await plugin.dispense('lab')
  const [a, b] = [await remote.noise(), await remote.noise()]
  const received = new Map<Readable, number>()
  for (const stream of [a, b]) stream.on('data', (chunk: Uint8Array) => received.set(stream, (received.get(stream) ?? 0) + chunk.length))
  const rates = async (): Promise<[number, number]> => {
    await sleep(100) // what flows in the first moments after a change was decided before it
    received.clear()
    const started = performance.now()
    await sleep(250)
    const seconds = (performance.now() - started) / 1_000
    return [(received.get(a) ?? 0) / seconds, (received.get(b) ?? 0) / seconds]
  }
  await rates()
  // The host and the plugin share this machine with everybody; what is promised on a quiet one is in bench/.
  const near = (measured: number, asked: number, tolerance: number): boolean => Math.abs(measured / asked - 1) < tolerance
  let [three, third, ceiling, ok] = [0, 0, 0, false]
  for (let take = 0; take < 3 && !ok; take++) {
    flow(a).weight = 3
    const heavy = await rates()
    flow(a).weight = 1
    flow(b).weight = 3
    const light = await rates()
    flow(b).maxBytesPerSecond = 20e6
    const capped = await rates()
    flow(b).maxBytesPerSecond = Number.POSITIVE_INFINITY
    flow(b).weight = 1
    three = heavy[0] / heavy[1]
    third = light[1] / light[0]
    ceiling = capped[1]
    ok = near(three, 3, 0.2) && near(third, 3, 0.2) && near(ceiling, 20e6, 0.15)
  }
  for (const stream of [a, b]) stream.destroy()
  return {
    happened: 'two downloads, weighted 3:1, then 1:3, then one under a ceiling of 20 MB/s, while they ran',
    measured: `${three.toFixed(2)}:1, 1:${third.toFixed(2)}, ${(ceiling / 1e6).toFixed(1)} MB/s`,
    ok,
  }
}

async function callbacks(): Promise<Outcome> {
  await using plugin = await launch(kitchen, example.callbacks, { logger: false })
  pids.add(plugin.pid)
  await using remote = await plugin.dispense('kitchen')
  const taken: string[] = []
  const pantry = byRef({ take: async (ingredient: string) => void taken.push(ingredient) })
  await remote.cook('pancakes', pantry, () => {})
  const storey: Storey = async (storeys, other) => (storeys === 0 ? 'host: top' : await other(storeys - 1, storey))
  const depth = 500
  const started = performance.now()
  const top = await remote.stack(depth, storey)
  const took = performance.now() - started
  return {
    happened: `the plugin used an object of the host (${taken.join(', ')}); host and plugin called each other ${depth} deep`,
    measured: `${((took * 1_000) / depth).toFixed(0)} µs a level`,
    ok: taken.length === 3 && top === 'plugin: top',
  }
}

async function cancellation(): Promise<Outcome> {
  await using plugin = await launch(kitchen, example.callbacks, { logger: false })
  pids.add(plugin.pid)
  await using remote = await plugin.dispense('kitchen')
  const started = performance.now()
  const code = await withOptions(remote, { timeoutMs: 50, metadata: { table: 'table 1' } })
    .bake(60)
    .catch((error: unknown) => (isPluginError(error) ? error.code : String(error)))
  const took = performance.now() - started
  const seen = await remote.afterBaking()
  return {
    happened: `a call with a deadline of 50 ms ended with ${code}; its method over there saw it, and the metadata (${seen})`,
    measured: `after ${ms(took)}`,
    ok: code === 'ERR_CALL_TIMEOUT' && seen === 'ERR_CALL_TIMEOUT, for table 1',
  }
}

async function crash(): Promise<Outcome> {
  const plugin = await launch(parsers, beside('../parsers/fragile.js'), { name: 'fragile', logger: false })
  pids.add(plugin.pid)
  const parser = await plugin.dispense('parser', {})
  const file = new URL('biome.jsonc', repository)
  const error = await parser.parse('biome.jsonc', createReadStream(file), async () => {}).catch((cause: unknown) => cause)
  const { exitCode, expected } = await plugin.exited
  const words = isPluginError(error, 'ERR_PLUGIN_EXITED') ? error.facts.stderrTail.trim() : ''
  return {
    happened: `a plugin died in the middle of a call; the call rejected with its last words: "${words}"`,
    measured: `exit code ${exitCode}`,
    ok: exitCode === 70 && !expected && words.includes('biome.jsonc'),
  }
}

async function killedHost(): Promise<Outcome> {
  const host = spawn(process.execPath, [fileURLToPath(beside('./doomed-host.js'))], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await new Promise<Buffer[]>((resolve, reject) => {
    host.stdout.once('data', (chunk: Buffer) => resolve([chunk]))
    host.once('exit', code => reject(new Error(`the host ended with code ${code}`)))
  })) as [Buffer]
  const family = JSON.parse(line.toString()) as number[]
  const alive = family.filter(isAlive).length
  host.kill('SIGKILL')
  const took = await goneAfter(family, 5_000)
  return {
    happened: `kill -9 of a host with a plugin that had started a process: ${took === undefined ? 'something is left' : 'both are gone'}`,
    measured: took === undefined ? 'not within 5 s' : `after ${ms(took)}`,
    ok: alive === 2 && took !== undefined,
  }
}

async function wires(): Promise<Outcome> {
  const options: readonly LaunchOptions[] = [{ wire: 'unix' }, { wire: 'tcp' }, { wire: 'stdio' }, { tls: true }]
  const seen = await Promise.all(
    options.map(async option => {
      await using plugin = await launch(counters, example.old, { ...option, logger: false })
      pids.add(plugin.pid)
      if (plugin.version !== 1) throw new Error('the old plugin speaks version 1')
      await using counter = await plugin.dispense('counter', { name: plugin.wire, from: 41 })
      const waits: number[] = []
      let last = 0
      for (let call = 0; call < 30; call++) {
        const begun = performance.now()
        last = await counter.add(1)
        waits.push(performance.now() - begun)
      }
      return { wire: `${plugin.wire}${plugin.secure ? '+TLS' : ''}`, callMs: median(waits), ok: last === 71 }
    }),
  )
  return {
    happened: `the same plugin over other wires, with one-time certificates where there is an address: ${seen.map(({ wire }) => wire).join(', ')}`,
    measured: seen.map(({ wire, callMs }) => `${wire} ${(callMs * 1_000).toFixed(0)} µs`).join(', '),
    ok: seen.every(({ ok }) => ok) && seen.filter(({ wire }) => wire.endsWith('+TLS')).length >= 3,
  }
}

async function reattached(): Promise<Outcome> {
  const first = await launch(counters, example.old, { wire: 'unix', detached: true, logger: false })
  pids.add(first.pid)
  const record = first.detach()
  const started = performance.now()
  await using second = await reattach(counters, record, { logger: false })
  if (second.version !== 1) throw new Error('the old plugin speaks version 1')
  await using counter = await second.dispense('counter', { name: 'again', from: 1 })
  const value = await counter.add(1)
  const took = performance.now() - started
  return {
    happened: `a host left a plugin running and came back to the same process (${second.pid})`,
    measured: `${ms(took)} to attach and call`,
    ok: second.pid === first.pid && value === 2,
  }
}

async function terminal(): Promise<Outcome> {
  const program = [process.execPath, fileURLToPath(beside('./terminal-host.js'))]
  // `script` runs a program on a terminal of its own, so that this also works in a pipe.
  const hasScript = process.platform === 'linux' && spawnSync('script', ['--version']).status === 0
  const child = hasScript
    ? spawn('script', ['-qec', program.map(word => `'${word}'`).join(' '), '/dev/null'], { stdio: ['ignore', 'pipe', 'inherit'] })
    : spawn(process.execPath, program.slice(1), { stdio: ['inherit', 'pipe', 'inherit'] })
  const output = await text(child.stdout)
  const seen = JSON.parse(/\{.*\}/.exec(output)?.[0] ?? '{}') as { stdin?: boolean; stdout?: boolean; colours?: number }
  return {
    happened: hasScript
      ? `a plugin inside a terminal has it: stdin ${seen.stdin ? 'is' : 'is not'} a TTY, stdout ${seen.stdout ? 'is' : 'is not'}`
      : `a plugin has the stdout of its host (no \`script\` here to make a terminal)`,
    measured: `${2 ** (seen.colours ?? 0)} colours`,
    ok: seen.stdout === hasScript,
  }
}

async function nothingLeft(): Promise<Outcome> {
  const took = await goneAfter([...pids], 2_000)
  const handles = (): number => process.getActiveResourcesInfo().filter(resource => resource === 'ProcessWrap').length
  for (let turn = 0; handles() > 0 && turn < 100; turn++) await sleep(2) // the event of an exit comes a moment after it
  return {
    happened: took === undefined ? `of ${pids.size} plugins some are still there` : `all ${pids.size} plugins of these scenes are gone`,
    measured: `${[...pids].filter(isAlive).length} processes, ${handles()} handles left`,
    ok: took !== undefined && handles() === 0,
  }
}

export const scenes: readonly Scene[] = [
  { title: 'launch', play: start },
  { title: 'instances', play: instances },
  { title: 'calls', play: calls },
  { title: 'streams', play: streams },
  { title: 'steering', play: steering },
  { title: 'callbacks', play: callbacks },
  { title: 'cancellation', play: cancellation },
  { title: 'crash', play: crash },
  { title: 'kill -9', play: killedHost },
  { title: 'wires', play: wires },
  { title: 'reattach', play: reattached },
  { title: 'terminal', play: terminal },
  { title: 'nothing left', play: nothingLeft },
]
