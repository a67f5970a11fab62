// Every host runs every plugin in every mode, and the table in the docs says what this run says.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { cells, type Outcome, outcomeOf, summaryOf, tablesIn, tablesOf, titleOf } from '../src/matrix.ts'
import { buildPeer, skipUnlessBuilt } from '../src/peers.ts'

// Before all tests, since one of them may take a minute at most and a first build takes longer.
const skip = await skipUnlessBuilt(async () => {
  for (const name of ['peer', 'old-1.4', 'old-1.0'] as const) await buildPeer(name)
})

const all = cells()
const outcomes: (Outcome | undefined)[] = []

describe('interop', { skip, concurrency: 3 }, () => {
  for (const [index, cell] of all.entries()) {
    test(titleOf(cell), async () => {
      const outcome = await outcomeOf(cell)
      outcomes[index] = outcome
      assert.deepEqual(outcome.failed, [])
    })
  }
})

test('docs/interop.md and README.md say what this run says', { skip }, () => {
  const read = (page: string): string => readFileSync(fileURLToPath(new URL(`../../../${page}`, import.meta.url)), 'utf8')
  const ran = outcomes.filter(outcome => outcome !== undefined)
  assert.equal(ran.length, all.length, 'a cell did not run to its end')
  assert.equal(tablesOf(ran), tablesIn(read('docs/interop.md')), 'npm run interop -- --write')
  assert.equal(summaryOf(ran), tablesIn(read('README.md')), 'npm run interop -- --write')
})
