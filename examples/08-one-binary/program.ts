// Where the program begins, as itself and as each of its plugins. Only what is imported in the chosen function is loaded.

import { main } from 'plugwire/program'

// No `await` here: a single executable of Node begins in CommonJS, which has none outside of functions.
void main(() => import('./application.ts').then(({ run }) => run()), {
  plugins: {
    upper: () => import('./upper.ts').then(({ run }) => run()),
    count: () => import('./count.ts').then(({ run }) => run()),
  },
})
