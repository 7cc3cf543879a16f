"""The status page in a real browser: for the keyboard, for a screen reader, on a phone, dark, and while nodes go."""

import re

from browser import RIGHT, SHIFT, TAB, Browser
from case import expect, expect_equal, test
from test_operators import run_ctl, with_http

PLAIN = "the page, in a browser"

PHONE, DESK = (360, 740), (1280, 900)

# Of each text that is seen: the text, and how its colour stands out from what is behind it (WCAG 2).
CONTRASTS = """
const parse = c => c.match(/[\\d.]+/g).map(Number);
const light = c => { const [r, g, b] = c.slice(0, 3).map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
  return .2126 * r + .7152 * g + .0722 * b; };
const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; }
  return [255, 255, 255]; };
const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node; (node = walker.nextNode());) {
  const e = node.parentElement;
  if (!node.data.trim() || ["SCRIPT", "STYLE"].includes(e.tagName) || !e.getClientRects().length) continue;
  const a = light(parse(getComputedStyle(e).color)), b = light(behind(e));
  found.push([node.data.trim(), (Math.max(a, b) + .05) / (Math.min(a, b) + .05)]);
}
return found;
"""


def opened(case, count=3):
    """A cluster, and a browser on the page of node 1 that has shown it."""
    if not Browser.is_there():
        case.skip("chromium-driver is not installed")
    cluster = with_http(case, count)
    with cluster[1].client() as client:
        for i in range(20):
            client.insert("d", i, {"v": i}, ack="all" if i % 5 == 0 else "local")
    cluster.converge()
    browser = Browser(case)
    browser.size(*DESK)
    browser.open("http://127.0.0.1:%d/" % cluster[1].http)
    shows(case, browser, "Node 1 of test", "connected", "Nothing.")
    return cluster, browser


def shows(case, browser, *words):
    text = [""]

    def is_there():
        text[0] = browser.text()
        return all(word in text[0] for word in words)
    try:
        case.eventually("the page shows %s" % (words,), is_there, timeout=30, pause=0.1)
    except AssertionError as error:
        raise AssertionError("%s; it shows\n%s" % (error, text[0])) from None


def check_width(browser, what):
    inner, outer = browser.run("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
    expect(inner <= outer, "%s: %d pixels on a screen of %d", what, inner, outer)


@test(timeout=120)
def for_a_screen_reader(case):
    """One main heading, a name for each part, table and picture, titles of columns, and news are told."""
    _, browser = opened(case)
    expect_equal(browser.run("return document.documentElement.lang"), "en", "language")
    tree = browser.tree()
    roles = [role for role, _, _ in tree]
    headings = [(next(each["value"]["value"] for each in node["properties"] if each["name"] == "level"), name)
                for role, name, node in tree if role == "heading"]
    expect_equal([name for level, name in headings if level == 1], ["Node 1 of test"], "main headings")
    expect_equal({level for level, _ in headings}, {1, 2}, "levels of headings")
    expect(roles.count("banner") == 1 and roles.count("main") == 1, "landmarks: %s", roles)
    regions = [name for role, name, _ in tree if role == "region"]
    expect(len(regions) >= 8 and all(regions) and len(set(regions)) == len(regions), "names of the parts: %s", regions)
    images = [name for role, name, _ in tree if role in ("image", "img", "graphics-document")]
    expect(len(images) == 3 and all("last five minutes" in name for name in images), "plots: %s", images)
    tables = [name for role, name, _ in tree if role == "table"]
    expect(sorted(tables) == ["Logs", "Peers as this node sees them", "Steps the last minute"], "tables: %s", tables)
    expect(roles.count("columnheader") == 22, "titles of columns: %d", roles.count("columnheader"))
    expect("status" in roles, "no live state")
    live = browser.run("return [...document.querySelectorAll('[aria-live], [role=status]')].map(e => e.id)")
    expect_equal(sorted(live), ["person", "state"], "what is told when it changes")
    # Nothing is told by colour alone.
    expect_equal(browser.run("return [...document.querySelectorAll('.good, .warn, .bad')].filter(e => !e.textContent.trim()).length"),
                 0, "colours without words")


@test(timeout=120)
def by_keyboard(case):
    """Tab visits what can be scrolled, in the order of the page, visibly; arrows scroll it."""
    _, browser = opened(case)
    browser.size(*PHONE, phone=True)
    order = []
    for _ in range(3):
        browser.press([TAB])
        order.append(browser.run("return document.activeElement.getAttribute('aria-labelledby') || document.activeElement.tagName"))
        style = browser.run("const s = getComputedStyle(document.activeElement); return [s.outlineStyle, parseFloat(s.outlineWidth)]")
        expect(style[0] == "solid" and style[1] >= 2, "the focus is not seen: %s", style)
        top, bottom = browser.run("const r = document.activeElement.getBoundingClientRect(); return [r.top, r.bottom]")
        expect(top < PHONE[1] and bottom > 0, "the focus is off the screen: %d to %d", top, bottom)
    expect_equal(order, ["h-peers", "h-logs", "h-steps"], "order")
    browser.press([SHIFT, TAB, SHIFT, TAB])
    expect_equal(browser.run("return document.activeElement.getAttribute('aria-labelledby')"), "h-peers", "back by shift and tab")
    browser.press([RIGHT] * 3)
    case.eventually("arrows scroll the table", lambda: browser.run("return document.activeElement.scrollLeft") > 0)
    # Focus stays where it is when the page renews itself.
    browser.run("document.activeElement.dataset.mark = 'x'; window.seenBefore = seen.length")
    case.eventually("two more answers came", lambda: browser.run("return seen.length > window.seenBefore + 1"))
    expect_equal(browser.run("return document.activeElement.dataset.mark"), "x", "the focus after answers")


@test(timeout=120)
def on_a_phone_light_and_dark(case):
    """No scrolling sideways, and every text stands out from its ground, in each state and scheme."""
    cluster, browser = opened(case)

    def look(what):
        for scheme in ("light", "dark"):
            browser.scheme(scheme)
            ground = browser.run("return getComputedStyle(document.body).backgroundColor")
            expect((min(map(int, re.findall(r"\d+", ground)[:3])) > 128) == (scheme == "light"), "%s: %s", scheme, ground)
            weak = [each for each in browser.run(CONTRASTS) if each[1] < 4.5]
            expect_equal(weak, [], "texts that do not stand out, %s, %s" % (what, scheme))
            for width, height in (PHONE, (320, 640), DESK):
                browser.size(width, height, phone=width < 1000)
                check_width(browser, "%s, %s" % (what, scheme))
    look("all is well")
    cluster[3].stop()
    run_ctl(case, "--server", cluster[1].address, "peer", "pause", "2")
    shows(case, browser, "Node 3 is not reached", "Node 2 is paused")
    look("a node is down")


@test(timeout=120)
def while_nodes_go(case):
    """The page stays open: nodes go and come, it tells so by itself and goes on when its own node is back."""
    cluster, browser = opened(case)
    expect_equal(browser.run("return performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith(location.origin))"),
                 [], "what it loads from elsewhere")
    cluster[3].kill()
    shows(case, browser, "Node 3 is not reached")
    expect(browser.run("return document.title").startswith("(!) "), "the title")
    cluster[3].start()
    shows(case, browser, "Nothing.")
    expect(not browser.run("return document.title").startswith("(!) "), "the title")
    cluster[1].kill()
    shows(case, browser, "This node does not answer", "no answer", "Peers")
    for _ in range(2):  # it asks again and again
        browser.run("window.told = document.getElementById('person').firstChild")
        case.eventually("it asks again", lambda: browser.run(
            "return window.told !== document.getElementById('person').firstChild"), pause=0.1)
    cluster[1].start()
    shows(case, browser, "Nothing.", "serving")
    # A node that is frozen accepts connections and says nothing.
    cluster[1].pause()
    shows(case, browser, "This node does not answer")
    cluster[1].resume()
    shows(case, browser, "Nothing.")
    bad = [each for each in browser.complaints() if "ERR_CONNECTION" not in each and "net::ERR_" not in each]
    expect_equal(bad, [], "errors in the console")


@test(timeout=120)
def each_group_has_its_words(case):
    if not Browser.is_there():
        case.skip("chromium-driver is not installed")
    cluster = with_http(case, 2, {"group.1.devices": "plant1.*", "group.2.devices": "plant2.*"})
    with cluster[1].client() as client:
        for i in range(20):
            client.insert("plant1.a", i, {"v": i}, ack="all")
    browser = Browser(case)
    browser.size(*DESK)
    browser.open("http://127.0.0.1:%d/" % cluster[1].http)
    shows(case, browser, "2 · group 0", "2 · group 1", "1 (own) · group 2", "Nothing.")
    code, out, complaint = run_ctl(case, "-s", cluster[1].address, "--group", "1", "peer", "pause", "2")
    expect_equal(code, 0, out + complaint)
    shows(case, browser, "Group 1: Node 2 is paused")
    expect("Group 2: Node 2" not in browser.text(), "group 2 is said to be paused too")
