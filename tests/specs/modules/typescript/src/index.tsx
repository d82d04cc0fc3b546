import { word, type Word } from "@lib/words";
import { element } from "./element";

enum Colour {
  Red = 1,
  Blue,
}

class Point {
  constructor(
    private readonly x: number,
    private readonly y: number,
  ) {}
  toString(): string {
    return `point ${this.x},${this.y}`;
  }
}

export default {
  async fetch(_request: Request): Promise<Response> {
    const alias: Word = word;
    const count = 3 as const satisfies number;
    return Response.json([Colour[2], Colour.Blue, String(new Point(1, 2)), alias, <b title="x">hi {count}</b>]);
  },
} satisfies ExportedHandler;
