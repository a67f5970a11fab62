// Protocol 5 is protocol 6 with other names and without nested attributes, which here are attributes whose type is an object.

import type { Provider5 } from './messages.ts'
import type { ProviderServer } from './provider-server.ts'

export function protocol5(server: ProviderServer): Provider5 {
  return {
    getMetadata: () => server.getMetadata(),
    getSchema: async () => server.schemas(false),
    prepareProviderConfig: async (request, call) => ({
      ...(await server.validateProviderConfig(request, call)),
      preparedConfig: request.config ?? null,
    }),
    validateResourceTypeConfig: (request, call) => server.validateResourceConfig(request, call),
    validateDataSourceConfig: (request, call) => server.validateDataResourceConfig(request, call),
    configure: (request, call) => server.configureProvider(request, call),
    upgradeResourceState: (request, call) => server.upgradeResourceState(request, call),
    readResource: (request, call) => server.readResource(request, call),
    planResourceChange: (request, call) => server.planResourceChange(request, call),
    applyResourceChange: (request, call) => server.applyResourceChange(request, call),
    importResourceState: (request, call) => server.importResourceState(request, call),
    moveResourceState: request => server.moveResourceState(request),
    readDataSource: (request, call) => server.readDataSource(request, call),
    getFunctions: () => server.getFunctions(),
    stop: () => server.stopProvider(),
  }
}
