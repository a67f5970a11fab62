// Bundles the provider and lets Terraform use it: create, change, destroy. Ends with code 77 where there is no Terraform.

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { bundle } from './bundle.ts'
import { findTerraform, Stage } from './terraform.ts'

const terraform = await findTerraform()
if (terraform === undefined) {
  console.log('neither terraform nor tofu is on the path')
  process.exit(77)
}

await using stage = await Stage.create(terraform)
const root = join(stage.directory, 'root')
await stage.configure('main.tf', await readFile(new URL('../../05-terraform-provider/tf/main.tf', import.meta.url), 'utf8'))
await bundle(join(stage.directory, 'provider'))
stage.override('registry.terraform.io/plugwire/files', join(stage.directory, 'provider'))

await tell('create', ['apply', '-auto-approve'])
console.log('files:', (await readdir(root)).join(' '))
console.log(`outputs:\n${(await stage.run(['output', '-no-color'])).output.trimEnd().replace(/^/gm, '  ')}`)
await tell('change', ['apply', '-auto-approve', '-var', 'title=More notes'])
await tell('destroy', ['destroy', '-auto-approve'])
console.log('files:', (await readdir(root)).join(' ') || 'none')

/** What happens, from the records that Terraform writes for programs. */
async function tell(what: string, args: readonly string[]): Promise<void> {
  const { output, code } = await stage.run([...args, '-json'], { TF_VAR_root: root })
  console.log(`${what}:`)
  const done: string[] = []
  for (const line of output.split('\n').filter(Boolean)) {
    const record = JSON.parse(line) as Message
    if (record.type === 'apply_complete') done.push(`  ${record.hook?.action} ${record.hook?.resource?.addr}`)
    if (record.type === 'diagnostic' && record['@level'] === 'error')
      done.push(`  ${record.diagnostic?.summary}: ${record.diagnostic?.detail}`)
  }
  // Resources that do not depend on each other end in any order.
  console.log(done.sort().join('\n'))
  if (code !== 0) process.exitCode = 1
}

interface Message {
  readonly type: string
  readonly '@level': string
  readonly hook?: { readonly action: string; readonly resource?: { readonly addr: string } }
  readonly diagnostic?: { readonly summary: string; readonly detail: string }
}
