// Any Terraform provider as an object: what Terraform itself does with one, as far as a program needs it that has no configuration language.

import { launch, type Plugin } from 'plugwire/host'
import type * as message from '../05-terraform-provider/provider/adapter/messages.ts'
import { terraform } from '../05-terraform-provider/provider/contract.ts'
import { decodeValue, encodeValue } from '../05-terraform-provider/provider/cty/codec.ts'
import { type CtyType, parseType } from '../05-terraform-provider/provider/cty/type.ts'
import { type CtyRecord, type CtyValue, isRecord, record } from '../05-terraform-provider/provider/cty/value.ts'

/** What a provider says to a configuration that it does not take. */
export class Refused extends Error {
  constructor(diagnostics: readonly message.DiagnosticMessage[]) {
    super(diagnostics.map(({ summary, detail, attribute }) => `${summary} (${pathText(attribute)}): ${detail}`).join('\n'))
  }
}

/** What will be when a change is carried out. */
export interface Planned {
  readonly type: string
  /** Null for a new object. */
  readonly prior: CtyRecord | null
  readonly config: CtyRecord
  /** Null for one that is to go. What only the provider knows is unknown. */
  readonly state: CtyRecord | null
  /** Attributes whose change needs a new object. */
  readonly replaces: readonly string[]
  readonly private: Uint8Array
}

/** What there is. */
export interface Applied {
  readonly state: CtyRecord | null
  readonly private: Uint8Array
}

/** The methods that differ between the protocols, by one name. */
interface Calls
  extends Pick<message.Provider6, 'planResourceChange' | 'applyResourceChange' | 'validateResourceConfig' | 'configureProvider'> {
  readonly getProviderSchema: message.Provider6['getProviderSchema']
}

export class TerraformProvider {
  readonly plugin: Plugin<typeof terraform>
  readonly schema: message.ProviderSchema
  readonly #calls: Calls

  private constructor(plugin: Plugin<typeof terraform>, calls: Calls, schema: message.ProviderSchema) {
    this.plugin = plugin
    this.schema = schema
    this.#calls = calls
  }

  /** Starts a provider and asks what it has. */
  static async launch(program: string): Promise<TerraformProvider> {
    const plugin = await launch(terraform, program, { logger: false })
    try {
      const calls = await callsOf(plugin)
      return new TerraformProvider(plugin, calls, accepted(await calls.getProviderSchema({}, {})))
    } catch (error) {
      await plugin.close()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.plugin.close()
  }

  /** @throws Refused */
  async configure(config: CtyRecord): Promise<void> {
    const type = typeOfBlock(this.schema.provider?.block)
    accepted(await this.#calls.configureProvider({ terraformVersion: '1.11.4', config: bytes(config, type) }, {}))
  }

  /**
   * @param config Null to have the object destroyed. What it leaves out is null.
   * @throws Refused
   */
  async plan(typeName: string, config: CtyRecord | null, before: Applied = { state: null, private: new Uint8Array() }): Promise<Planned> {
    const type = this.#typeOf(typeName)
    const prior = before.state
    if (config === null) return { type: typeName, prior, config: prior ?? {}, state: null, replaces: [], private: before.private }
    const whole = complete(config, type)
    accepted(await this.#calls.validateResourceConfig({ typeName, config: bytes(whole, type) }, {}))
    const response = accepted(
      await this.#calls.planResourceChange(
        {
          typeName,
          priorState: bytes(prior, type),
          // What the configuration leaves out stays as it was, unless the provider knows better.
          proposedNewState: bytes(
            record(Object.entries(whole).map(([name, value]) => [name, value ?? prior?.[name] ?? null] as const)),
            type,
          ),
          config: bytes(whole, type),
          priorPrivate: before.private,
        },
        {},
      ),
    )
    const state = decoded(response.plannedState, type)
    const replaces = (response.requiresReplace ?? []).map(pathText)
    return { type: typeName, prior, config: whole, state, replaces, private: response.plannedPrivate ?? new Uint8Array() }
  }

  /** @throws Refused */
  async apply(plan: Planned): Promise<Applied> {
    const type = this.#typeOf(plan.type)
    const response = accepted(
      await this.#calls.applyResourceChange(
        {
          typeName: plan.type,
          priorState: bytes(plan.prior, type),
          plannedState: bytes(plan.state, type),
          config: bytes(plan.state === null ? null : plan.config, type),
          plannedPrivate: plan.private,
        },
        {},
      ),
    )
    return { state: decoded(response.newState, type), private: response.private ?? new Uint8Array() }
  }

  #typeOf(typeName: string): CtyType {
    const schema = new Map(Object.entries(this.schema.resourceSchemas ?? {})).get(typeName)
    if (schema === undefined) throw new Error(`the provider has no ${typeName}`)
    return typeOfBlock(schema.block)
  }
}

async function callsOf(plugin: Plugin<typeof terraform>): Promise<Calls> {
  if (plugin.version === 6) return plugin.dispense('provider')
  const five = await plugin.dispense('provider')
  return {
    getProviderSchema: () => five.getSchema({}),
    configureProvider: request => five.configure(request),
    validateResourceConfig: request => five.validateResourceTypeConfig(request),
    planResourceChange: request => five.planResourceChange(request),
    applyResourceChange: request => five.applyResourceChange(request),
  }
}

function accepted<R extends message.Diagnosed>(response: R): R {
  const errors = (response.diagnostics ?? []).filter(({ severity }) => severity === 'ERROR')
  if (errors.length > 0) throw new Refused(errors)
  return response
}

function pathText(path: message.AttributePath | null | undefined): string {
  return (
    (path?.steps ?? []).map(step => step.attributeName || step.elementKeyString || String(step.elementKeyInt)).join('.') || 'as a whole'
  )
}

// ---- schemas that came as messages

function typeOfBlock(block: message.BlockMessage | null | undefined): CtyType {
  const members: { [name: string]: CtyType } = attributeTypes(block?.attributes)
  for (const { typeName = '', block: inner, nesting } of block?.blockTypes ?? []) members[typeName] = nested(nesting, typeOfBlock(inner))
  return ['object', members]
}

function attributeTypes(attributes: readonly message.AttributeMessage[] = []): { [name: string]: CtyType } {
  return record(
    attributes.map(({ name = '', type, nestedType }) => {
      if (nestedType) return [name, nested(nestedType.nesting, ['object', attributeTypes(nestedType.attributes)])] as const
      return [name, parseType(Buffer.from(type ?? []).toString())] as const
    }),
  )
}

function nested(nesting: message.NestingMode | undefined, inner: CtyType): CtyType {
  if (nesting === 'LIST') return ['list', inner]
  if (nesting === 'SET') return ['set', inner]
  return nesting === 'MAP' ? ['map', inner] : inner
}

// ---- values

function bytes(value: CtyValue, type: CtyType): message.DynamicValue {
  return { msgpack: encodeValue(value, type) }
}

function decoded(value: message.DynamicValue | null | undefined, type: CtyType): CtyRecord | null {
  const state = value?.msgpack === undefined || value.msgpack.length === 0 ? null : decodeValue(value.msgpack, type)
  return isRecord(state) ? state : null
}

/** With all attributes: what is left out is null, and of blocks there are none. */
function complete(config: CtyRecord, type: CtyType): CtyRecord {
  const attributes = type[1] as { readonly [name: string]: CtyType }
  return record(Object.keys(attributes).map(name => [name, config[name] ?? null] as const))
}
