"""Trust by TUF: what a domain signs, and what of another domain may be believed.

`authority` signs, `trusted` verifies, `joined` remembers who was joined. Importing tuf
costs a tenth of a second: import those modules where they are needed, never this
package's names at the top of a module.
"""
