import 'node:child_process'
import 'node:net'

const [, , specifier] = process.argv
const started = performance.now()
await import(specifier as string)
process.stdout.write(String(performance.now() - started), () => process.exit())
