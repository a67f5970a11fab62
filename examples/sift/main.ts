// The command: arguments in, a report out.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { filesUnder, history } from './host/sources.ts'
import { Terminal } from './host/terminal.ts'
import { sift } from './sift.ts'

const help = `sift [options] [path…]

Reads files and tells what is in them: words and headings of texts, lines and imports of code, depth and keys of
JSON, levels and rates of logs. Every kind of file is read by a plugin, a process of its own.

Without a path sift reads the repository it is part of, and its git log; and lets two bad parsers take part, one that
crashes and one that hangs, so that you see what becomes of the rest.

  --out DIR        write every finding to DIR/findings.csv and DIR/findings.jsonl
  --top N          rows of each ranking (default 5)
  --parallel N     files at the same time (default 8)
  --deadline MS    milliseconds that a parser may take for one file (default 5000; 1000 with --trouble)
  --trouble        let the bad parsers take part: .jsonc files crash, files without an extension hang
  --no-trouble     leave them out
  --json           the report as JSON on stdout, nothing else there
  -h, --help       this text

Ctrl-C ends the run with a report of what was done. Exit codes: 0 done, 1 could not run, 2 wrong arguments,
3 files were skipped that should have been read, 130 interrupted.
`

const repository = fileURLToPath(new URL('../../..', import.meta.url))

process.exitCode = await main().catch((error: unknown) => {
  console.error(`sift: ${error instanceof Error ? error.message : error}`)
  return 1
})

async function main(): Promise<number> {
  let given: ReturnType<typeof readArguments>
  try {
    given = readArguments()
  } catch (error) {
    console.error(`sift: ${error instanceof Error ? error.message : error}\n\n${help}`)
    return 2
  }
  const { values: options, positionals: paths } = given
  if (options.help) {
    process.stdout.write(help)
    return 0
  }
  const trouble = options['no-trouble'] ? false : (options.trouble ?? paths.length === 0)
  const terminal = new Terminal(options.json ? process.stderr : process.stdout)
  const sources = await filesUnder(paths.length > 0 ? paths : [repository], trouble)
  const log = paths.length > 0 ? undefined : await history(repository)
  if (log !== undefined) sources.push(log)

  const { out } = options
  if (out !== undefined) await mkdir(out, { recursive: true })

  // The plugins ignore Ctrl-C: it is for their host to say what becomes of them. The second one ends sift at once, and they end with it.
  const interrupt = new AbortController()
  process.once('SIGINT', () => {
    terminal.line('stopping; once more to end at once')
    interrupt.abort(new Error('interrupted'))
  })

  const report = await sift({
    sources,
    parallel: number(options.parallel, 8),
    deadlineMs: number(options.deadline, trouble ? 1_000 : 5_000),
    top: number(options.top, 5),
    outputs: out === undefined ? [] : (['csv', 'jsonl'] as const).map(format => ({ path: join(out, `findings.${format}`), format })),
    signal: interrupt.signal,
    onProgress: progress => terminal.progress(progress),
    onTrouble: trouble => terminal.trouble(trouble),
  })
  terminal.clear()
  if (options.json) process.stdout.write(`${JSON.stringify({ ...report, byKind: Object.fromEntries(report.byKind) }, undefined, 2)}\n`)
  else terminal.report(report)
  if (report.interrupted) return 130
  return report.troubles.some(({ then, parser }) => then === 'skipped' && !(trouble && parser === 'stuck')) ? 3 : 0
}

function readArguments() {
  return parseArgs({
    allowPositionals: true,
    options: {
      out: { type: 'string' },
      top: { type: 'string' },
      parallel: { type: 'string' },
      deadline: { type: 'string' },
      trouble: { type: 'boolean' },
      'no-trouble': { type: 'boolean' },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  })
}

function number(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`${text} is not a whole number above 0`)
  return value
}
