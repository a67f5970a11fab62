// A provider as Terraform calls it, protocol 6: bytes and messages in, the provider's methods, messages out. Whatever goes wrong becomes a
// diagnostic, since a failed call tells people nothing. Knows of no gRPC.

import { decodeValue, encodeValue } from '../cty/codec.ts'
import { parseJson, valueOfJson } from '../cty/json.ts'
import type { CtyPath, CtyType } from '../cty/type.ts'
import { type CtyRecord, type CtyValue, isRecord, Unknown } from '../cty/value.ts'
import { type Diagnostic, Diagnostics, ProviderError, pathSteps } from '../diagnostics.ts'
import { planned, replacements, withDefaults } from '../plan.ts'
import { PrivateState } from '../private-state.ts'
import type { AnyDataSource, AnyProvider, AnyResource, ConfiguredContext, Context, ResourceContext } from '../resource.ts'
import { type Block, type Schema, shapeOfBlock, typeOfBlock } from '../schema.ts'
import { fromProgram, toProgram } from '../view.ts'
import { checkBlock } from './checks.ts'
import type * as message from './messages.ts'
import { schemaMessage } from './wire-schema.ts'

/** What the provider can do beside the ordinary: Terraform need not ask for schemas it knows. */
const capabilities: message.Capabilities = { getProviderSchemaOptional: true }

/** One provider, configured once by the process that it serves. */
export class ProviderServer implements message.Provider6 {
  readonly #provider: AnyProvider
  readonly #resources: ReadonlyMap<string, AnyResource>
  readonly #dataSources: ReadonlyMap<string, AnyDataSource>
  #client: { readonly value: unknown } | undefined
  #stopping = new AbortController()

  constructor(provider: AnyProvider) {
    this.#provider = provider
    this.#resources = new Map(Object.entries(provider.resources))
    this.#dataSources = new Map(Object.entries(provider.dataSources))
  }

  async getMetadata(): Promise<message.Metadata> {
    return {
      serverCapabilities: capabilities,
      resources: [...this.#resources.keys()].map(typeName => ({ typeName })),
      dataSources: [...this.#dataSources.keys()].map(typeName => ({ typeName })),
    }
  }

  async getProviderSchema(): Promise<message.ProviderSchema> {
    return this.schemas(true)
  }

  /** @param nestedTypes Whether the protocol has nested attributes. */
  schemas(nestedTypes: boolean): message.ProviderSchema {
    const messages = (table: ReadonlyMap<string, { readonly schema: Schema }>) =>
      Object.fromEntries([...table].map(([type, { schema }]) => [type, schemaMessage(schema, nestedTypes)]))
    return {
      provider: schemaMessage(this.#provider.schema, nestedTypes),
      resourceSchemas: messages(this.#resources),
      dataSourceSchemas: messages(this.#dataSources),
      serverCapabilities: capabilities,
    }
  }

  async validateProviderConfig(request: message.Configuration, call: message.CallContext = {}): Promise<message.Diagnosed> {
    return this.#validate(this.#provider, request, call, 'checking the configuration of the provider')
  }

  async validateResourceConfig(request: message.TypedConfiguration, call: message.CallContext = {}): Promise<message.Diagnosed> {
    const type = request.typeName ?? ''
    return this.#validate(this.#resources.get(type), request, call, `checking the configuration of a ${type}`)
  }

  async validateDataResourceConfig(request: message.TypedConfiguration, call: message.CallContext = {}): Promise<message.Diagnosed> {
    const type = request.typeName ?? ''
    return this.#validate(this.#dataSources.get(type), request, call, `checking the configuration of a ${type}`)
  }

  async configureProvider(request: message.ConfigureRequest, call: message.CallContext = {}): Promise<message.Diagnosed> {
    const { schema } = this.#provider
    return this.#answer(schema, call, 'configuring the provider', async context => {
      const config = show(schema, recordOf(decoded(request.config, schema)) ?? {})
      const value = await this.#provider.configure(config, { ...context, terraformVersion: request.terraformVersion ?? '' })
      this.#client = { value }
      return {}
    })
  }

  async upgradeResourceState(
    request: message.UpgradeRequest,
    call: message.CallContext = {},
  ): Promise<message.Diagnosed & { readonly upgradedState?: message.DynamicValue }> {
    return this.#ofResource(request, call, 'upgrading the state of', async (resource, context) => {
      const { schema } = resource
      const version = Number(request.version ?? 0)
      const json = request.rawState?.json
      if (json === undefined || json.length === 0)
        throw new ProviderError('The state is older than Terraform 0.12', { detail: 'It has no JSON.' })
      const raw = parseJson(Buffer.from(json).toString())
      if (version === schema.version) return { upgradedState: encoded(valueOfJson(raw, typeOfBlock(schema)), schema) }
      if (version > schema.version || resource.upgrade === undefined) {
        throw new ProviderError('The state cannot be upgraded', {
          detail: `It was written by version ${version} of the schema; this provider has version ${schema.version}.`,
        })
      }
      const upgraded = await resource.upgrade(raw, version, context)
      return { upgradedState: encoded(fromProgram(shapeOfBlock(schema), upgraded), schema) }
    })
  }

  async readResource(request: message.ReadRequest, call: message.CallContext = {}): Promise<message.NewState> {
    return this.#ofResource(request, call, 'reading', async (resource, context) => {
      const { schema } = resource
      const before = recordOf(decoded(request.currentState, schema))
      const privately = this.#resourceContext(context, request.private)
      const now = before === null ? null : await resource.read(show(schema, before), privately)
      return { newState: encoded(take(schema, now, before), schema), private: privately.private.toBytes() }
    })
  }

  async planResourceChange(request: message.PlanRequest, call: message.CallContext = {}): Promise<message.PlanResponse> {
    return this.#ofResource(request, call, 'planning', async (resource, context) => {
      const { schema } = resource
      const proposed = recordOf(decoded(request.proposedNewState, schema))
      // An object that is to be destroyed has nothing to plan.
      if (proposed === null) return { plannedState: encoded(null, schema), plannedPrivate: request.priorPrivate ?? new Uint8Array() }
      const prior = recordOf(decoded(request.priorState, schema))
      const config = recordOf(decoded(request.config, schema)) ?? proposed
      let plan = planned(schema, { config, prior, proposed })
      const replace: CtyPath[] = []
      const privately = this.#resourceContext(context, request.priorPrivate)
      if (resource.plan !== undefined) {
        const draft = show(schema, plan)
        await resource.plan(
          {
            config: show(schema, config),
            prior: show(schema, prior),
            planned: draft,
            replace: (...path: CtyPath) => void replace.push(path),
          },
          privately,
        )
        plan = take(schema, draft, plan) ?? plan
      }
      if (prior !== null) replace.push(...replacements(schema, prior, plan))
      const type = typeOfBlock(schema)
      return {
        plannedState: encoded(plan, schema),
        requiresReplace: replace.map(path => ({ steps: pathSteps(path, type) })),
        plannedPrivate: privately.private.toBytes(),
      }
    })
  }

  async applyResourceChange(request: message.ApplyRequest, call: message.CallContext = {}): Promise<message.NewState> {
    // What is told when the change fails: nothing has changed.
    const failed = { newState: request.priorState ?? null, private: request.plannedPrivate ?? new Uint8Array() }
    return this.#ofResource(
      request,
      call,
      'changing',
      async (resource, context) => {
        const { schema } = resource
        const prior = recordOf(decoded(request.priorState, schema))
        const plan = recordOf(decoded(request.plannedState, schema))
        const privately = this.#resourceContext(context, request.plannedPrivate)
        let now: unknown = null
        if (plan === null) await resource.delete(show(schema, prior), privately)
        else if (prior === null) now = await resource.create(show(schema, plan), privately)
        else if (resource.update === undefined)
          throw new ProviderError('Such objects cannot be changed', { detail: 'They can only be replaced.' })
        else now = await resource.update(show(schema, plan), show(schema, prior), privately)
        const state = take(schema, now, plan)
        const open = state === null ? undefined : firstUnknown(state)
        if (open !== undefined) {
          throw new ProviderError('The provider left a value unknown', { detail: 'This is a fault of the provider.', path: open })
        }
        return { newState: encoded(state, schema), private: privately.private.toBytes() }
      },
      failed,
    )
  }

  async importResourceState(request: message.ImportRequest, call: message.CallContext = {}): Promise<message.Imported> {
    return this.#ofResource(request, call, 'importing', async (resource, context) => {
      if (resource.import === undefined) throw new ProviderError(`A ${request.typeName} cannot be imported`)
      const privately = this.#resourceContext(context, undefined)
      const state = await resource.import(request.id ?? '', privately)
      if (state === null)
        throw new ProviderError('There is no such object', { detail: `No ${request.typeName} has the id ${JSON.stringify(request.id)}.` })
      return {
        importedResources: [
          {
            typeName: request.typeName ?? '',
            state: encoded(take(resource.schema, state, null), resource.schema),
            private: privately.private.toBytes(),
          },
        ],
      }
    })
  }

  async moveResourceState(request: message.MoveRequest): Promise<message.Diagnosed> {
    const report = new Diagnostics()
    report.error('Resources of other types cannot be moved here', {
      detail: `This provider makes no ${request.targetTypeName} of a ${request.sourceTypeName}. Remove the one from the state and import the other.`,
    })
    return { diagnostics: report.list.map(diagnostic => diagnosticMessage(diagnostic, 'dynamic')) }
  }

  async readDataSource(
    request: message.TypedConfiguration,
    call: message.CallContext = {},
  ): Promise<message.Diagnosed & { readonly state?: message.DynamicValue }> {
    const type = request.typeName ?? ''
    const source = this.#dataSources.get(type)
    return this.#answer(source?.schema, call, `reading ${type}`, async context => {
      if (source === undefined) throw noSuchType(type)
      const { schema } = source
      const config = recordOf(decoded(request.config, schema)) ?? {}
      const given = withDefaults(schema, config, config)
      const state = await source.read(show(schema, given), this.#configured(context))
      return { state: encoded(take(schema, state, given), schema) }
    })
  }

  async getFunctions(): Promise<message.Diagnosed> {
    return {}
  }

  /** Terraform was interrupted: what runs is told to stop. A later configuration starts anew. */
  async stopProvider(): Promise<Record<never, never>> {
    this.#stopping.abort(new ProviderError('Terraform was interrupted'))
    this.#stopping = new AbortController()
    return {}
  }

  async #validate(
    whole: Pick<AnyResource, 'schema' | 'validate'> | undefined,
    request: message.TypedConfiguration,
    call: message.CallContext,
    doing: string,
  ): Promise<message.Diagnosed> {
    return this.#answer(whole?.schema, call, doing, async (context, report) => {
      if (whole === undefined) throw noSuchType(request.typeName ?? '')
      const config = recordOf(decoded(request.config, whole.schema)) ?? {}
      checkBlock(whole.schema, config, report)
      // What single attributes have wrong would only be said twice.
      if (!report.failed) await whole.validate?.(show(whole.schema, config), context)
      return {}
    })
  }

  #ofResource<R extends object>(
    request: { readonly typeName?: string },
    call: message.CallContext,
    doing: string,
    body: (resource: AnyResource, context: Context) => Promise<R>,
    failed?: R,
  ): Promise<R & message.Diagnosed> {
    const type = request.typeName ?? ''
    const resource = this.#resources.get(type)
    const run = (context: Context) => {
      if (resource === undefined) throw noSuchType(type)
      return body(resource, context)
    }
    return this.#answer(resource?.schema, call, `${doing} a ${type}`, run, failed)
  }

  /** Runs one call and adds what it had to say; when it fails, the answer is `failed` and an error. */
  async #answer<R extends object>(
    schema: Block | undefined,
    call: message.CallContext,
    doing: string,
    body: (context: Context, report: Diagnostics) => Promise<R>,
    failed: R = {} as R,
  ): Promise<R & message.Diagnosed> {
    const report = new Diagnostics()
    const signals = [this.#stopping.signal, ...(call.signal === undefined ? [] : [call.signal])]
    const context: Context = {
      signal: AbortSignal.any(signals),
      error: (summary, options) => report.error(summary, options),
      warn: (summary, options) => report.warn(summary, options),
    }
    let result = failed
    try {
      result = await body(context, report)
    } catch (error) {
      report.caught(error, doing)
    }
    const type = schema === undefined ? 'dynamic' : typeOfBlock(schema)
    return { ...result, diagnostics: report.list.map(diagnostic => diagnosticMessage(diagnostic, type)) }
  }

  #configured(context: Context): ConfiguredContext<unknown> {
    if (this.#client === undefined) throw new ProviderError('The provider is not configured')
    return { ...context, client: this.#client.value }
  }

  #resourceContext(context: Context, bytes: Uint8Array | undefined): ResourceContext<unknown> {
    return { ...this.#configured(context), private: new PrivateState(bytes) }
  }
}

function diagnosticMessage({ severity, summary, detail, path }: Diagnostic, type: CtyType): message.DiagnosticMessage {
  const steps = path === undefined ? [] : pathSteps(path, type)
  return { severity: severity === 'error' ? 'ERROR' : 'WARNING', summary, detail, ...(steps.length > 0 && { attribute: { steps } }) }
}

function noSuchType(type: string): ProviderError {
  return new ProviderError(`This provider has no ${type}`)
}

function decoded(value: message.DynamicValue | null | undefined, schema: Block): CtyValue {
  const type = typeOfBlock(schema)
  if (value?.msgpack !== undefined && value.msgpack.length > 0) return decodeValue(value.msgpack, type)
  if (value?.json !== undefined && value.json.length > 0) return valueOfJson(parseJson(Buffer.from(value.json).toString()), type)
  return null
}

function encoded(value: CtyValue, schema: Block): message.DynamicValue {
  return { msgpack: encodeValue(value, typeOfBlock(schema)) }
}

function recordOf(value: CtyValue): CtyRecord | null {
  return isRecord(value) ? value : null
}

/** As the program sees it. */
// biome-ignore lint/suspicious/noExplicitAny: its type follows from a schema that the compiler does not see here
function show(schema: Block, value: CtyValue): any {
  return toProgram(shapeOfBlock(schema), value)
}

/** What the program made, after it was shown `before`. */
function take(schema: Block, value: unknown, before: CtyRecord | null): CtyRecord | null {
  return recordOf(fromProgram(shapeOfBlock(schema), value, before))
}

function firstUnknown(value: CtyValue, at: CtyPath = []): CtyPath | undefined {
  if (value instanceof Unknown) return at
  const members = Array.isArray(value) ? [...(value as readonly CtyValue[]).entries()] : isRecord(value) ? Object.entries(value) : []
  for (const [name, inner] of members) {
    const found = firstUnknown(inner, [...at, name])
    if (found !== undefined) return found
  }
  return undefined
}
