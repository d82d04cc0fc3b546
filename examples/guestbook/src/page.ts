/**
 * The page in the pieces in which it is sent. Each method gives HTML that continues what the ones before began:
 * `start`, `visits`, `listStart`, `entry` as often as needed, `listEnd`, `end`.
 */
import { html } from "hono/html";
import type { Entry } from "./book";
import { fieldText, MESSAGE_MAX, NAME_MAX, type Draft, type Problems } from "./draft";

export interface Start {
  draft: Draft;
  problems: Problems;
  /** Somebody has just signed. */
  signed: boolean;
}

export class Page {
  constructor(private readonly title: string) {}

  start({ draft, problems, signed }: Start): string {
    return (
      this.head(this.title) +
      html`<p class="lead">
          Rendered by a worker, kept in its key-value store, sent to you piece by piece.
          <a href="/?slow">Watch it stream</a>.
        </p>
        ${signed ? html`<p class="notice" role="status">Thank you for signing!</p>` : ""}
        <section aria-labelledby="sign">
          <h2 id="sign">Sign the book</h2>
          <form method="post" action="/">
            ${field("name", "Your name", fieldText(draft.name), problems.name)}
            ${field("message", "Your message", fieldText(draft.message), problems.message)}
            <button>Sign</button>
          </form>
        </section>
        <section class="echo" aria-labelledby="echo" data-echo hidden>
          <h2 id="echo">Talk to the isolate</h2>
          <form>
            <label for="say">It answers over a WebSocket with what you say</label>
            <div class="row"><input id="say" maxlength="200" autocomplete="off" /><button>Send</button></div>
          </form>
          <output for="say" aria-live="polite"></output>
        </section>`
    );
  }

  visits(count: number): string {
    return String(html`<p class="visits"><strong>${count.toLocaleString("en")}</strong> ${count === 1 ? "visit" : "visits"}</p>`);
  }

  listStart(count: number): string {
    return String(
      html`<section aria-labelledby="entries">
        <h2 id="entries">${count === 0 ? "No entries yet: be the first" : "Entries"}</h2>`,
    );
  }

  entry({ name, message, at }: Entry): string {
    const date = new Date(at).toISOString();
    return String(
      html`<article>
        <p>${message}</p>
        <footer>${name}, <time datetime="${date}">${date.slice(0, 16).replace("T", " ")} UTC</time></footer>
      </article>`,
    );
  }

  listEnd(cursor: string | null): string {
    const older = cursor === null ? "" : html`<p><a href="/?older=${encodeURIComponent(cursor)}#entries">Older entries</a></p>`;
    return String(html`${older}</section>`);
  }

  end(): string {
    return "</main></body></html>\n";
  }

  /** Ends a page whose data could not be read. */
  failed(): string {
    return html`<p class="notice" role="alert">The rest of the book cannot be read right now.</p>` + this.end();
  }

  /** A whole page with nothing but a message. */
  message(title: string, text: string): string {
    return this.head(title) + html`<p class="lead">${text} <a href="/">To the guestbook</a>.</p>` + this.end();
  }

  private head(title: string): string {
    return String(
      html`<!doctype html>
        <html lang="en">
          <head>
            <meta charset="utf-8" />
            <meta name="viewport" content="width=device-width, initial-scale=1" />
            <meta name="color-scheme" content="light dark" />
            <title>${title}</title>
            <link rel="icon" href="/logo.svg" type="image/svg+xml" />
            <link rel="stylesheet" href="/style.css" />
            <script src="/client.js" type="module"></script>
          </head>
          <body>
            <main>
              <header>
                <img src="/logo.svg" alt="" width="56" height="56" />
                <h1>${title}</h1>
              </header>`,
    );
  }
}

function field(name: "name" | "message", label: string, value: string, problem: string | undefined) {
  const described = problem === undefined ? "" : html` aria-invalid="true" aria-describedby="${name}-problem"`;
  const control =
    name === "name"
      ? html`<input id="name" name="name" value="${value}" maxlength="${NAME_MAX}" required autocomplete="name" ${described} />`
      : html`<textarea id="message" name="message" maxlength="${MESSAGE_MAX}" rows="3" required ${described}>${value}</textarea>`;
  return html`<label for="${name}">${label}</label>
    ${control} ${problem === undefined ? "" : html`<p class="problem" id="${name}-problem">${problem}</p>`}`;
}
