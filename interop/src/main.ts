// `npm run interop [-- --write] [words…]`: runs the cells of the matrix whose title holds all words, prints what fails and the table;
// with --write puts the table into docs/interop.md, and its sums into README.md.

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { cells, type Outcome, outcomeOf, summaryOf, tablesOf, titleOf, withTables } from './matrix.ts'

const { values: options, positionals: words } = parseArgs({
  allowPositionals: true,
  options: { write: { type: 'boolean', default: false } },
})
const page = fileURLToPath(new URL('../../../docs/interop.md', import.meta.url))
const readme = fileURLToPath(new URL('../../../README.md', import.meta.url))

/** Cells at a time: most of them wait. */
const CONCURRENCY = 3

const chosen = cells().filter(cell => words.every(word => titleOf(cell).includes(word)))
const outcomes: Outcome[] = []
const waiting = chosen.entries()

async function work(): Promise<void> {
  for (const [index, cell] of waiting) {
    const outcome = await outcomeOf(cell)
    outcomes[index] = outcome
    const { passed, known, failed, skipped } = outcome
    console.log(`${titleOf(cell)}: ${passed.length} passed, ${failed.length} failed, ${known.length} known, ${skipped.length} skipped`)
    for (const { check, detail, ms } of failed) console.log(`  ${check} (${ms} ms): ${detail ?? ''}`)
  }
}

await Promise.all(Array.from({ length: CONCURRENCY }, work))
console.log(`\n${tablesOf(outcomes)}`)
if (options.write) {
  if (words.length > 0) throw new Error('--write needs the whole matrix')
  writeFileSync(page, withTables(readFileSync(page, 'utf8'), tablesOf(outcomes)))
  writeFileSync(readme, withTables(readFileSync(readme, 'utf8'), summaryOf(outcomes)))
}
if (outcomes.some(({ failed }) => failed.length > 0)) process.exitCode = 1
