/** Where the file is that a thread runs. */
import { existsSync } from 'node:fs'

/** A file of the build by its path in it; run from sources (tests), that of the build beside them. */
export const built = (path: string): URL => {
  const here = new URL(`../${path}`, import.meta.url)
  return existsSync(here) ? here : new URL(`../../dist/${path}`, import.meta.url)
}
