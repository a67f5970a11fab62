// What Terraform (or OpenTofu) and a provider agree on. The same for those who serve a provider and for those who run one.

import { grpc, proto } from '@plugwire/grpc'
import { contract } from 'plugwire'
import type { Provider5, Provider6 } from './adapter/messages.ts'
import { protocolSource } from './proto/source.ts'

export const terraform = contract({
  name: 'terraform-provider',
  cookie: { key: 'TF_PLUGIN_MAGIC_COOKIE', value: 'd602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2' },
  versions: {
    5: { provider: grpc(() => proto<Provider5>(protocolSource(5), 'tfplugin5.Provider')) },
    6: { provider: grpc(() => proto<Provider6>(protocolSource(6), 'tfplugin6.Provider')) },
  },
})
