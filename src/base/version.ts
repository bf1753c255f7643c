/** The version of spartan: package.json's, read on demand. */
import { readFileSync } from 'node:fs'

const facts = (): { version: string; commit?: string } =>
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
    commit?: string
  }

export const version = (): string => facts().version

/** The commit that a package was built from; '' in a checkout. */
export const revision = (): string => facts().commit ?? ''
