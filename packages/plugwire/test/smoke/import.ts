// Smoke program: every public entry loads under this runtime and exports something. See CONTRIBUTING.md, "Runtimes".

import assert from 'node:assert/strict'

for (const entry of ['plugwire', 'plugwire/host', 'plugwire/plugin', 'plugwire/mux', 'plugwire/testing']) {
  const names = Object.keys(await import(entry))
  assert.ok(names.length > 0, `${entry} exports nothing`)
}
