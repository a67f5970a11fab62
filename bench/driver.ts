// The host process of one row: opens it and measures what `run.ts` asks for, over IPC.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { build, bytesOf, small } from './harness/samples.ts'
import { isPeer, type Subject } from './harness/subject.ts'
import { isLive, measures, type RowModule } from './measures.ts'
import { rows } from './rows.ts'

export type Request =
  | { readonly id: number; readonly do: 'open' | 'check' | 'close' }
  | { readonly id: number; readonly do: 'measure'; readonly measure: string; readonly milliseconds: number }

const row = rows.find(({ id }) => id === process.argv[2])
if (row === undefined) throw new Error(`no row ${process.argv[2]}`)
const module = (await import(`./${row.module}`)) as RowModule
let subject: Subject | undefined

async function perform(request: Request): Promise<unknown> {
  if (request.do === 'measure') {
    const measure = measures.find(({ id }) => id === request.measure)
    if (measure === undefined || row === undefined) throw new Error(`no measure ${request.measure}`)
    if (!isLive(measure)) return await measure.fresh(module, row)
    return subject && (await measure.live(subject, request.milliseconds))
  }
  if (request.do === 'open') {
    subject = await module.open(row?.variant ?? '')
    if (process.argv[3] === 'two-cores' && subject.pid !== undefined) moveToSecondCore(subject.pid)
  }
  if (request.do === 'check' && subject) await check(subject)
  if (request.do === 'close') await subject?.close()
  return undefined
}

/** This process was started on the first core, and the plugin's with it. */
function moveToSecondCore(pid: number): void {
  execFileSync('taskset', ['--all-tasks', '--pid', '--cpu-list', '1', String(pid)], { stdio: 'ignore' })
}

/** A row that answers wrongly must not be fast. */
async function check(opened: Subject): Promise<void> {
  if (!isPeer(opened)) return
  const plain = (value: unknown) => JSON.parse(JSON.stringify(value)) as unknown
  assert.deepEqual(plain(await opened.echo(small)), small)
  assert.deepEqual(withoutNull(plain(await opened.echoRecord(build))), withoutNull(build))
  for (const length of [0, 1_024, 65_536]) assert.deepEqual(Buffer.from(await opened.echoBytes(bytesOf(length))), Buffer.alloc(length, 7))
}

/** proto3 has no null. */
function withoutNull(value: unknown): unknown {
  return Object.fromEntries(Object.entries(value as object).filter(([, member]) => member !== null))
}

process.on('message', async (request: Request) => {
  try {
    process.send?.({ id: request.id, result: await perform(request) })
  } catch (error) {
    process.send?.({ id: request.id, failure: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
})
process.on('disconnect', () => process.exit())
process.send?.({ id: 0 })
