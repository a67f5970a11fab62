// `terraform plan` with a provider in TypeScript and with one in Go: one data-free configuration each, a provider that is taken from a directory.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Started } from '../harness/subject.ts'

/** Whether there is a terraform, or a tofu, to plan with. */
export const terraform: string | undefined = ['terraform', 'tofu'].find(program => {
  try {
    execFileSync(program, ['version'], { stdio: 'ignore', env: { ...process.env, CHECKPOINT_DISABLE: '1' } })
    return true
  } catch {
    return false
  }
})

const prepared = new Map<string, Promise<string>>()

/** Resolves when the plan is made. */
export async function open(variant: string): Promise<Started> {
  let directory = prepared.get(variant)
  if (directory === undefined) prepared.set(variant, (directory = prepare(variant)))
  const cwd = await directory
  const child = spawn(terraform as string, ['plan', '-input=false', '-no-color'], {
    cwd,
    env: { ...process.env, TF_CLI_CONFIG_FILE: join(cwd, 'settings.tfrc'), CHECKPOINT_DISABLE: '1' },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`terraform plan ended with ${code}`)
  return { close: () => {} }
}

async function prepare(variant: string): Promise<string> {
  const directory = join(tmpdir(), `plugwire-bench-${process.pid}`, `terraform-${variant}`)
  const programs = join(directory, 'programs')
  mkdirSync(programs, { recursive: true })
  if (variant === 'typescript') await bundleOfExample(programs)
  else await goProvider(programs)
  const { source, resources } =
    variant === 'typescript'
      ? {
          source: 'registry.terraform.io/plugwire/files',
          resources: `provider "files" { root = ${JSON.stringify(directory)} }\nresource "files_text" "a" {\n  path = "a.txt"\n  content = "a"\n}\nresource "files_text" "b" {\n  path = "b.txt"\n  content = "b"\n}`,
        }
      : {
          source: 'registry.terraform.io/hashicorp/time',
          resources: 'resource "time_static" "a" {}\nresource "time_offset" "b" { offset_days = 1 }',
        }
  const name = variant === 'typescript' ? 'files' : 'time'
  writeFileSync(
    join(directory, 'main.tf'),
    `terraform {\n  required_providers {\n    ${name} = { source = "${source}" }\n  }\n}\n${resources}\n`,
  )
  writeFileSync(
    join(directory, 'settings.tfrc'),
    `disable_checkpoint = true\nprovider_installation {\n  dev_overrides { ${JSON.stringify(source)} = ${JSON.stringify(programs)} }\n}\n`,
  )
  return directory
}

/** The provider of example 05, as it is shipped. */
async function bundleOfExample(directory: string): Promise<void> {
  const module = new URL('../../../examples/build/05-terraform-provider/bundle.js', import.meta.url)
  const { bundle } = (await import(module.href)) as { bundle(directory: string): Promise<string> }
  await bundle(directory)
}

async function goProvider(directory: string): Promise<void> {
  const { buildReal } = await import('plugwire-interop/real')
  copyFileSync(await buildReal('terraform-provider-time'), join(directory, 'terraform-provider-time'))
}
