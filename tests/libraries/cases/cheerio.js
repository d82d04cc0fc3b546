import * as cheerio from "cheerio";
export default () => { const $ = cheerio.load("<ul><li class=a>1</li><li>2</li></ul>"); $("li.a").text("one").addClass("b"); return [$("li").length, $("ul").html()]; };
export const expected = [2, '<li class="a b">one</li><li>2</li>'];
