// The benchmark's command: measures all rows side by side, judges the goals, prints and keeps the result.

import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { judge } from './goals.ts'
import { Host } from './harness/host.ts'
import { isLive, type Measure, measures, type Pin, pins } from './measures.ts'
import { goalTable, insert, render } from './render.ts'
import { machine, type Results, record, type Samples, versions } from './results.ts'
import { type Row, rows } from './rows.ts'

const help = `npm run bench -- [options]

  --quick          3 short rounds, under two minutes
  --smoke          every row once for a few milliseconds: does it all work?
  --json FILE      keep every figure of every round
  --render FILE    no measuring: write the tables of FILE into bench/README.md
  --only a,b       rows whose id contains a or b (plugwire, raw, grpc-js, …)
  --what a,b       measures by id (latency, flight64, upload, start, …)
  --rounds N       default 7
  --ms N           milliseconds of each slice, default 300
  --pin a,b        one-core, two-cores, free (default: all; the first two need taskset)
  --list           rows and measures
`

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
    json: { type: 'string' },
    render: { type: 'string' },
    only: { type: 'string' },
    what: { type: 'string' },
    rounds: { type: 'string' },
    ms: { type: 'string' },
    pin: { type: 'string' },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

// `npm run` changes to the workspace's root; files are named from where the user stands.
const userFile = (name: string) => resolve(process.env.INIT_CWD ?? '.', name)

if (options.help) process.stdout.write(help)
else if (options.list) list()
else if (options.render !== undefined) publish(userFile(options.render))
else await run()

function list(): void {
  for (const { id, words } of rows) console.log(`row      ${id.padEnd(20)} ${words}`)
  for (const { id, words, pins } of measures) console.log(`measure  ${id.padEnd(20)} ${words} (${pins.join(', ')})`)
}

function publish(file: string): void {
  const results = JSON.parse(readFileSync(file, 'utf8')) as Results
  const tables = render({ ...results, goals: judge(results.samples) })
  // Beside the sources: build/../README.md.
  const readme = new URL('../README.md', import.meta.url)
  writeFileSync(readme, insert(readFileSync(readme, 'utf8'), tables))
  process.stdout.write(tables)
}

interface Plan {
  readonly rounds: number
  readonly milliseconds: number
  /** The thrown-away slice of each measure before the first round. */
  readonly warmMilliseconds: number
  readonly measures: readonly Measure[]
  readonly rows: readonly Row[]
}

async function run(): Promise<void> {
  const plan: Plan = {
    rounds: positive(options.rounds, options.smoke ? 1 : options.quick ? 3 : 7),
    milliseconds: positive(options.ms, options.smoke ? 5 : options.quick ? 60 : 300),
    warmMilliseconds: options.quick ? 150 : 400,
    measures: measures.filter(({ id }) => options.what === undefined || options.what.split(',').includes(id)),
    rows: rows.filter(({ id }) => options.only === undefined || options.only.split(',').some(part => id.includes(part))),
  }
  if (plan.measures.length === 0 || plan.rows.length === 0) throw new Error('nothing to measure; see --list')

  const samples: Samples = {}
  const failures: string[] = []
  for (const pin of possiblePins()) await measurePinned(plan, pin, samples, failures)

  const results: Results = {
    when: new Date().toISOString(),
    command: ['npm run bench', ...(process.argv.length > 2 ? ['--', ...commandLine()] : [])].join(' '),
    machine: machine(),
    versions: versions(),
    rounds: plan.rounds,
    milliseconds: plan.milliseconds,
    failures,
    samples,
    goals: judge(samples),
  }
  if (options.json !== undefined) writeFileSync(userFile(options.json), JSON.stringify(results))
  if (options.smoke) console.log(`smoke: ${plan.rows.length} rows, ${failures.length} failures`)
  else {
    process.stdout.write(render(results))
    summary(results)
  }
  if (failures.length > 0) process.exitCode = 1
}

/** All rows in one pin: first what starts fresh processes, while nothing else is there, then slices of what stays open. */
async function measurePinned(plan: Plan, pin: Pin, samples: Samples, failures: string[]): Promise<void> {
  const wanted = plan.measures.filter(({ pins }) => pins.includes(pin))
  const has = (row: Row, measure: Measure) =>
    (row.measures === undefined || row.measures.includes(measure.id)) && !(pin === 'two-cores' && row.sameProcess)
  const hosts = plan.rows.filter(row => wanted.some(measure => has(row, measure))).map(row => new Host(row, pin))
  const failed = new Set<Host>()

  const attempt = async (host: Host, what: string, work: () => Promise<unknown>) => {
    if (failed.has(host)) return
    try {
      await work()
    } catch (error) {
      // A row that failed once is left out from here on: the others keep their rounds.
      failed.add(host)
      failures.push(`${host.row.id} (${pin}) ${what}: ${error instanceof Error ? error.message : String(error)}`)
      console.error(`!! ${failures.at(-1)}`)
    }
  }
  const slice = async (measure: Measure, round: number, keep: boolean) => {
    const ordered = round % 2 === 0 ? hosts : [...hosts].reverse()
    const turn = (host: Host) =>
      attempt(host, measure.id, async () => {
        const figures = await host.measure(measure.id, keep ? plan.milliseconds : plan.warmMilliseconds)
        if (figures !== undefined && keep) record(samples, pin, host.row.id, measure.id, figures)
      })
    const concerned = ordered.filter(({ row }) => has(row, measure))
    // Nobody looks at the figures of a smoke test, so the rows need not wait for each other.
    if (options.smoke) await Promise.all(concerned.map(turn))
    else for (const host of concerned) await turn(host)
  }
  const everyRound = async (some: readonly Measure[], words: string) => {
    if (some.length === 0) return
    // Code that runs for the first time is many times slower than it will be; smoke wants no more than that.
    if (!options.smoke) for (const measure of some) if (isLive(measure) || measure.id === 'start') await slice(measure, 0, false)
    for (let round = 0; round < plan.rounds; round++) {
      for (const measure of some) await slice(measure, round, true)
      if (!options.smoke) console.error(`${pin}, ${words}: round ${round + 1} of ${plan.rounds}`)
    }
  }

  try {
    await everyRound(
      wanted.filter(measure => !isLive(measure)),
      'fresh processes',
    )
    const live = wanted.filter(isLive)
    // One after the other: a start takes both cores.
    for (const host of hosts.filter(({ row }) => live.some(measure => has(row, measure)))) {
      await attempt(host, 'open', () => host.open())
      await attempt(host, 'check', () => host.check())
    }
    await everyRound(live, 'open connections')
  } finally {
    await Promise.all(hosts.map(host => host.end()))
  }
}

/** The pins that were asked for and that this machine has. */
function possiblePins(): Pin[] {
  const asked = (options.pin ?? pins.join(',')).split(',')
  const wrong = asked.find(pin => !pins.some(known => known === pin))
  if (wrong !== undefined) throw new Error(`--pin ${wrong}: one of ${pins.join(', ')}, or several with commas`)
  return pins.filter(pin => asked.includes(pin) && (pin === 'free' || canPin(pin)))
}

function canPin(pin: Pin): boolean {
  const cores = pin === 'one-core' ? ['0'] : ['0', '1']
  if (cores.every(core => spawnSync('taskset', ['-c', core, process.execPath, '-e', '0']).status === 0)) return true
  console.error(`no taskset, or core ${cores.join(' or ')} may not be used: '${pin}' is left out, its goals stay unjudged`)
  return false
}

function positive(text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text)
  if (!(value > 0)) throw new Error(`${text} is no positive number`)
  return value
}

/** What was asked, without the names of the user's files. */
function commandLine(): string[] {
  const words = process.argv.slice(2)
  return words.filter((word, index) => word !== '--json' && words[index - 1] !== '--json' && !word.startsWith('--json='))
}

function summary({ goals }: Results): void {
  const missed = goals.filter(({ met }) => met === false)
  const judged = goals.filter(({ met }) => met !== undefined).length
  if (judged === 0) return
  console.log(
    missed.length === 0 ? `\nall ${judged} judged goals met` : `\n${missed.length} of ${judged} judged goals missed:\n${goalTable(missed)}`,
  )
}
