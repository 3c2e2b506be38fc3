package examples

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// site is a running fileserver, whose address stays while it is stopped and started.
type site struct {
	*relay
	t       *testing.T
	bin     string
	dir     string // the folder of the files
	process *exec.Cmd
	errors  bytes.Buffer
}

func newSite(t *testing.T, bin string) *site {
	t.Helper()
	s := &site{relay: newRelay(t), t: t, bin: bin, dir: t.TempDir()}
	s.start()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("the server said:\n%s", s.errors.String())
		}
	})
	return s
}

func (s *site) start() {
	s.t.Helper()
	s.process = exec.Command(s.bin, "-addr", "127.0.0.1:0", "-dir", s.dir)
	s.process.Stderr = &s.errors
	out, err := s.process.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.t.Fatal(err)
	}
	addr, _, _ := strings.Cut(strings.TrimPrefix(line, "http://"), ",")
	s.lead(addr)
}

func (s *site) kill() {
	s.process.Process.Kill()
	s.process.Wait()
}

// put puts a file on the server, behind its back.
func (s *site) put(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// local makes a file of this machine to upload.
func (s *site) local(name string, size int64) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// stored are the names of the files on the server's disk, also of those that it hides.
func (s *site) stored() []string {
	s.t.Helper()
	dir, err := os.ReadDir(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, f := range dir {
		names = append(names, f.Name())
	}
	return names
}

func (s *site) wantStored(names ...string) {
	s.t.Helper()
	if got := s.stored(); !slices.Equal(got, slices.Sorted(slices.Values(names))) {
		s.t.Errorf("stored are %q, wanted %q", got, names)
	}
}

func (s *site) content(name string) string {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Error(err)
	}
	return string(data)
}

// TestFileserverPage is the page in a real browser.
func TestFileserverPage(t *testing.T) {
	bin := build(t, "fileserver")
	b := newBrowser(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, context.Context, *site)
	}{
		{"Uploads", pageUploads}, {"Cancel", pageCancel}, {"LostServer", pageLostServer}, {"Silence", pageSilence}, {"Errors", pageErrors}, {"OddNames", pageOddNames},
		{"Overwrite", pageOverwrite}, {"Delete", pageDelete}, {"SearchAndSort", pageSearchAndSort}, {"Keyboard", pageKeyboard}, {"Drop", pageDrop},
		{"Download", pageDownload}, {"Tabs", pageTabs}, {"Looks", pageLooks}, {"Axe", pageAxe},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, b, newSite(t, bin)) })
	}
}

// pageUploads: several files at once, each with its own bar, speed and time left; another
// window sees them, and the result.
func pageUploads(t *testing.T, b context.Context, s *site) {
	one, two := openWindow(t, b, s.url()), openWindow(t, b, s.url())
	one.wait(`text('#empty') === 'No files yet'`)
	two.wait(`text('#connection') === 'Connected'`)
	s.up.hold(12 << 20)
	one.choose(s.local("a.bin", 40<<20), s.local("b.bin", 41<<20), s.local("c.bin", 42<<20), s.local("d.bin", 5))
	for _, name := range []string{"a.bin", "b.bin", "c.bin"} {
		one.wait(fmt.Sprintf(`state(%[1]q) === 'sending' && upload(%[1]q).querySelector('progress').value > 0`, name))
		one.wait(fmt.Sprintf(`/^[0-9.]+ MB of 4[0-9.]+ MB · [0-9.]+ (bytes?|[kM]B).s( · .* left)?$/.test(spaced(upload(%q).querySelector('.text')))`, name))
		two.wait(fmt.Sprintf(`all('#activity .running').some(e => e.textContent.startsWith(%q) && all('progress', e)[0].value > 0)`, name))
	}
	if state := get[string](one, `state('d.bin') + upload('d.bin').querySelector('.text').textContent`); state != "waitingWaiting" {
		t.Errorf("the fourth upload is %s", state)
	}
	s.up.open()
	for _, name := range []string{"a.bin", "b.bin", "c.bin", "d.bin"} {
		one.wait(fmt.Sprintf(`state(%[1]q) === 'done' && says(%[1]q, 'Uploaded') && all('progress', upload(%[1]q)).length === 0`, name))
		two.wait(fmt.Sprintf(`all('#activity .over').some(e => e.textContent.startsWith(%q))`, name))
	}
	for _, w := range []*window{one, two} {
		w.wait(`names().join() === 'a.bin,b.bin,c.bin,d.bin'`)
	}
	if own := get[string](one, `text('#activity li')`); own != "" {
		t.Errorf("the window's own uploads are there twice: %s", own)
	}
	one.click("Clear finished uploads")
	one.wait(`all('#uploads li').length === 0 && focused() === 'Choose files to upload'`)
	s.wantStored("a.bin", "b.bin", "c.bin", "d.bin")
}

// memory is the most memory that the server has had, in MiB; 0 where the system does not tell.
func (s *site) memory() int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		if runtime.GOOS == "linux" {
			s.t.Error(err)
		}
		return 0
	}
	kib := regexp.MustCompile(`VmHWM:\s*(\d+) kB`).FindSubmatch(data)
	n, _ := strconv.Atoi(string(kib[1]))
	return n >> 10
}

// pageCancel: of a cancelled upload nothing stays, and a large file needs little memory.
func pageCancel(t *testing.T, b context.Context, s *site) {
	one, two := openWindow(t, b, s.url()), openWindow(t, b, s.url())
	two.wait(`text('#connection') === 'Connected'`)
	s.up.hold(256 << 20)
	one.choose(s.local("large.iso", 300<<20))
	one.wait(`all('progress', upload('large.iso'))[0].value > .8`)
	two.wait(`all('#activity .running progress')[0].position > .8`)
	if got := s.stored(); len(got) != 1 || !strings.HasPrefix(got[0], ".fileserver-upload-") {
		t.Errorf("while it runs there are %q", got)
	}
	one.wait(`names().length === 0`)
	one.click("Cancel large.iso")
	one.wait(`state('large.iso') === 'cancelled' && says('large.iso', 'Cancelled') && all('progress', upload('large.iso')).length === 0`)
	s.up.open()
	two.wait(`all('#activity .failed').some(e => e.textContent.includes('large.iso') && e.textContent.includes('Upload failed. It was broken off.'))`)
	s.wantStored()
	if mib := s.memory(); mib > 64 {
		t.Errorf("the server has used %d MiB", mib)
	}
	one.choose(s.local("small.bin", 1))
	one.wait(`state('small.bin') === 'done'`)
	one.click("Dismiss small.bin")
	one.click("Dismiss large.iso")
	one.wait(`all('#uploads li').length === 0`)
	two.wait(`names().join() === 'small.bin'`)
}

// pageLostServer: a server that has gone is told, what failed looks failed, and all goes on by
// itself when it is back.
func pageLostServer(t *testing.T, b context.Context, s *site) {
	one, two := openWindow(t, b, s.url()), openWindow(t, b, s.url())
	two.wait(`text('#connection') === 'Connected'`)
	s.up.hold(8 << 20)
	one.choose(s.local("a.bin", 60<<20))
	one.wait(`says('a.bin', '/s')`)
	two.wait(`text('#activity .running').includes('a.bin')`)
	s.kill()
	s.up.open()
	for _, w := range []*window{one, two} {
		w.wait(`alerts().includes('The server does not answer.') && text('#connection') === 'Not connected'`)
	}
	one.wait(`state('a.bin') === 'failed' && alerts().includes('The connection to the server was lost.') && all('progress', upload('a.bin')).length === 0`)
	two.wait(`text('#activity .failed').includes('Upload failed. The connection to the server was lost.')`)
	one.choose(s.local("later.bin", 10))
	one.wait(`says('later.bin', 'Waiting for the server')`)
	s.put("meanwhile.txt", "x")
	s.start()
	for _, w := range []*window{one, two} {
		w.wait(`!alerts().includes('The server does not answer.') && text('#connection') === 'Connected'`)
		w.wait(`names().join() === 'later.bin,meanwhile.txt'`)
	}
	one.wait(`state('later.bin') === 'done' && state('a.bin') === 'failed'`)
	two.wait(`text('#activity .failed').includes('a.bin')`)
	s.wantStored("later.bin", "meanwhile.txt") // nothing of the upload that the end of the server broke off
	one.click("Retry a.bin")
	one.wait(`state('a.bin') === 'done'`)
	two.wait(`names().join() === 'a.bin,later.bin,meanwhile.txt'`)
	two.click("Dismiss a.bin")
	two.wait(`!text('#activity .failed').includes('a.bin')`)
}

// pageSilence: a network that says nothing, not even that a connection has ended, is told as
// a lost server, and what stands still as failed.
func pageSilence(t *testing.T, b context.Context, s *site) {
	w := openWindow(t, b, s.url())
	w.wait(`text('#connection') === 'Connected'`)
	s.up.hold(1 << 20)
	w.choose(s.local("a.bin", 20<<20))
	w.wait(`says('a.bin', '/s')`)
	s.down.hold(0)
	get[bool](w, `Boolean(Date.now = (now => () => now() + 61_000)(Date.now))`) // a minute goes by
	w.wait(`alerts().includes('The server does not answer.')`)
	w.wait(`state('a.bin') === 'failed' && alerts().includes('a.bin: Nothing has moved for a minute.')`)
	s.up.open()
	s.down.open()
	w.wait(`!alerts().includes('The server does not answer.') && text('#connection') === 'Connected'`)
	w.click("Retry a.bin")
	w.wait(`state('a.bin') === 'done'`)
	w.wait(`names().join() === 'a.bin'`)
	s.wantStored("a.bin")
}

// pageErrors: an error is announced, says why, and stays until it is dismissed.
func pageErrors(t *testing.T, b context.Context, s *site) {
	s.put("a.txt", "seen")
	s.put("b.txt", "seen")
	w := openWindow(t, b, s.url())
	w.wait(`names().length === 2`)
	w.click("Delete a.txt")
	s.put("a.txt", "changed meanwhile")
	w.click("Delete")
	w.wait(`alerts().includes('“a.txt” was not deleted. Meanwhile it has changed.')`)
	w.click("Delete b.txt")
	w.click("Delete")
	w.wait(`names().join() === 'a.txt'`)
	s.wantStored("a.txt")

	hidden, gone, huge := s.local(".profile", 10), s.local("gone.txt", 10), s.local("huge.iso", 4<<30+1)
	s.up.hold(1 << 20)
	w.choose(s.local("1", 20<<20), s.local("2", 20<<20), s.local("3", 20<<20), hidden, gone, huge)
	w.wait(`state('gone.txt') === 'waiting' && state('huge.iso') === 'failed' && says('huge.iso', 'larger than the server takes: 4.29 GB')`)
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	s.up.open()
	w.wait(`state('.profile') === 'failed' && alerts().includes('begins with a dot')`)
	w.wait(`state('gone.txt') === 'failed' && alerts().includes('cannot be read')`)
	if again := get[bool](w, `['.profile', 'gone.txt', 'huge.iso'].some(name => button('Retry ' + name))`); again {
		t.Error("what would fail again can be retried")
	}
	w.wait(`state('1') === 'done' && state('2') === 'done' && state('3') === 'done'`)
	w.wait(`names().join() === '1,2,3,a.txt'`)
	if all := get[int](w, `all('[role=alert]').length`); all != 4 {
		t.Errorf("%d errors are shown, wanted 4", all)
	}
	w.click("Dismiss")
	w.click("Dismiss .profile")
	w.click("Dismiss huge.iso")
	w.click("Dismiss gone.txt")
	w.wait(`alerts() === '' && focused() === 'Dismiss 3'`)
	s.wantStored("1", "2", "3", "a.txt")
}

// pageOddNames: a name is text, in the list as in an address, whatever is in it.
func pageOddNames(t *testing.T, b context.Context, s *site) {
	odd := []string{
		`<img src=x onerror=alert(1)>.txt`, `<script>alert(1)<script>`, `it's "quoted" & 'done'.txt`, "100% #1?.txt", "%2e%2e%2f", "ä ö ü ß – 文件.txt", "🏖️👩‍👩‍👧.jpg",
		"מסמך חשוב.docx", "  spaces  .txt", "a+b&c=d;e.txt", "constructor", "__proto__", strings.Repeat("ñ", 125) + ".text", "no\u0308rmal.txt",
	}
	w := openWindow(t, b, s.url())
	w.wait(`text('#empty') === 'No files yet'`)
	var files []string
	for _, name := range odd {
		files = append(files, s.local(name, 3))
	}
	w.choose(files...)
	w.wait(fmt.Sprintf(`all('#uploads .done').length === %d && names().length === %[1]d`, len(odd)))
	s.wantStored(odd...)
	exact := `[...document.querySelectorAll('#files tbody a')].map(e => e.textContent)`
	if got := get[[]string](w, exact); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(odd))) {
		t.Errorf("shown are %q", got)
	}
	if got := get[int](w, `document.querySelectorAll('main img, main script').length`); got != 0 {
		t.Errorf("a name has become markup: %d elements", got)
	}
	answers := get[[]string](w, `Promise.all([...document.querySelectorAll('#files tbody a')].map(a => fetch(a.href).then(async r => a.textContent + ' ' + r.status + ' ' + (await r.text()).length)))`)
	for i, name := range get[[]string](w, exact) {
		if want := name + " 200 3"; answers[i] != want {
			t.Errorf("%q was fetched with %q", name, answers[i])
		}
	}
	w.choose(s.local("harmless\u202egpj.exe", 3)) // would be shown as harmlessexe.jpg
	w.wait(`all('#uploads .failed').length === 1 && alerts().includes('characters that do not show as what they are')`)
	s.wantStored(odd...)

	long := odd[len(odd)-2]
	w.choose(s.local(long, 4))
	w.click("Keep both")
	w.wait(fmt.Sprintf(`names().length === %d`, len(odd)+1))
	if second := strings.Repeat("ñ", 123) + " (2).text"; len(second) != 255 || s.content(second) != "\x00\x00\x00\x00" {
		t.Errorf("stored are %q", s.stored())
	}
	for _, name := range odd[:2] {
		w.click("Delete " + name)
		w.wait("question() === " + quote("Delete “"+name+"”?"))
		w.click("Delete")
		w.wait("!names().includes(" + quote(name) + ")")
	}
}

// pageOverwrite: nothing is replaced unasked, and no version that was not shown.
func pageOverwrite(t *testing.T, b context.Context, s *site) {
	for _, name := range []string{"a.txt", "b.txt", "c.txt", "d.txt"} {
		s.put(name, "old "+name)
	}
	w := openWindow(t, b, s.url())
	w.wait(`names().length === 4`)
	file := func(name string) string { // with other content than there is
		path := s.local(name, 0)
		if err := os.WriteFile(path, []byte("new "+name), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a, bb, c, d := file("a.txt"), file("b.txt"), file("c.txt"), file("d.txt")

	w.choose(a)
	w.wait(`question() === 'Replace “a.txt”?' && text('dialog').includes('On the server: 9 bytes, changed ') && focused() === 'Skip'`)
	w.press(kb.Escape)
	w.wait(`state('a.txt') === 'cancelled' && says('a.txt', 'Skipped')`)
	if got := s.content("a.txt"); got != "old a.txt" {
		t.Errorf("after Escape: %q", got)
	}
	w.click("Retry a.txt")
	w.wait(`question() === 'Replace “a.txt”?'`)
	s.put("a.txt", "meanwhile")
	other := openWindow(t, b, s.url())
	other.choose(s.local("x.txt", 1)) // so that the list is a newer one than the question
	w.wait(`names().includes('x.txt')`)
	w.click("Replace")
	w.wait(`question() === 'Replace “a.txt”?' && state('a.txt') === 'asking'`) // anew, since another version is there
	if got := s.content("a.txt"); got != "meanwhile" {
		t.Errorf("a version that was not shown has become %q", got)
	}
	w.click("Replace")
	w.wait(`state('a.txt') === 'done'`)
	if got := s.content("a.txt"); got != "new a.txt" {
		t.Errorf("replaced: %q", got)
	}
	w.choose(a)
	w.click("Keep both")
	w.wait(`state('a (2).txt') === 'done' && names().includes('a (2).txt')`)
	if one, two := s.content("a.txt"), s.content("a (2).txt"); one != "new a.txt" || two != "new a.txt" {
		t.Errorf("both: %q, %q", one, two)
	}

	w.choose(bb, c, d)
	w.wait(`question() === 'Replace “b.txt”?' && text('dialog').includes('for the other 2 files')`)
	w.do(chromedp.Click("dialog input"))
	w.click("Replace")
	w.wait(`state('b.txt') === 'done' && state('c.txt') === 'done' && state('d.txt') === 'done' && !question()`)
	if got := s.content("b.txt") + s.content("c.txt") + s.content("d.txt"); got != "new b.txtnew c.txtnew d.txt" {
		t.Errorf("replaced: %q", got)
	}
	w.choose(bb)
	w.wait(`question() === 'Replace “b.txt”?'`) // the choice was for those files only
	w.click("Skip")

	// A file that comes while another one of its name is on the way.
	s.up.hold(1 << 20)
	w.choose(s.local("e.bin", 20<<20))
	w.wait(`says('e.bin', '/s')`)
	s.put("e.bin", "was faster")
	s.up.open()
	w.wait(`question() === 'Replace “e.bin”?'`)
	if got := s.content("e.bin"); got != "was faster" {
		t.Errorf("replaced by an upload that was not asked about: %q", got[:10])
	}
	w.click("Skip")
	w.wait(`state('e.bin') === 'cancelled'`)
}

// pageDelete: it is asked, with what is deleted, and the focus stays where one works.
func pageDelete(t *testing.T, b context.Context, s *site) {
	for _, name := range []string{"a.txt", "b.txt", "c.txt"} {
		s.put(name, name)
	}
	one, two := openWindow(t, b, s.url()), openWindow(t, b, s.url())
	two.wait(`names().length === 3`)
	one.click("Delete b.txt")
	one.wait(`question() === 'Delete “b.txt”?' && text('dialog').includes('5 bytes, changed ') && focused() === 'Keep it'`)
	one.press(kb.Escape)
	one.wait(`!question() && focused() === 'Delete b.txt'`)
	one.click("Delete b.txt")
	one.click("Keep it")
	one.wait(`!question() && focused() === 'Delete b.txt'`)
	s.wantStored("a.txt", "b.txt", "c.txt")
	one.click("Delete b.txt")
	one.click("Delete")
	for _, w := range []*window{one, two} {
		w.wait(`names().join() === 'a.txt,c.txt'`)
	}
	s.wantStored("a.txt", "c.txt")
	one.wait(`document.querySelector('#polite').textContent === '“b.txt” was deleted.'`)
	one.wait(`focused() === 'c.txt'`)
	two.wait(`text('#activity .over').includes('b.txtDeleted')`)
}

func pageSearchAndSort(t *testing.T, b context.Context, s *site) {
	for i, name := range []string{"file10.txt", "file2.txt", "File1.txt", "Übersicht 2024.pdf", "zebra.png"} {
		s.put(name, strings.Repeat("x", (i*7)%5+1))
		when := time.Date(2024+i/2, time.March, 3+i, 12, 0, 0, 0, time.UTC)
		if err := os.Chtimes(filepath.Join(s.dir, name), when, when); err != nil {
			t.Fatal(err)
		}
	}
	w := openWindow(t, b, s.url())
	sorted := func(want ...string) {
		t.Helper()
		w.wait(`names().join('|') === ` + quote(strings.Join(want, "|")))
	}
	sorted("File1.txt", "file2.txt", "file10.txt", "Übersicht 2024.pdf", "zebra.png")
	w.click("Name")
	sorted("zebra.png", "Übersicht 2024.pdf", "file10.txt", "file2.txt", "File1.txt")
	w.click("Size")
	sorted("file10.txt", "Übersicht 2024.pdf", "file2.txt", "zebra.png", "File1.txt")
	if got := get[string](w, `[...document.querySelectorAll('thead th')].map(e => e.ariaSort).join()`); got != ",ascending," {
		t.Errorf("aria-sort is %s", got)
	}
	w.click("Changed") // the newest first
	sorted("zebra.png", "Übersicht 2024.pdf", "File1.txt", "file2.txt", "file10.txt")
	if got := get[string](w, `texts('td.date')[3]`); got != "Mar 4, 2024" {
		t.Errorf("a date is shown as %q", got)
	}
	w.click("Name")
	w.do(chromedp.SendKeys("#search", "FILE"))
	sorted("File1.txt", "file2.txt", "file10.txt")
	w.wait(`text('#count') === '3 of 5 files' && document.querySelector('#polite').textContent === '3 of 5 files'`)
	s.put("file3.txt", "x")
	w.choose(s.local("file4.txt", 1))
	sorted("File1.txt", "file2.txt", "file3.txt", "file4.txt", "file10.txt") // a search stays while the list changes
	w.press(kb.Escape)                                                       // empties the field
	w.do(chromedp.SendKeys("#search", "uber 2024"))
	sorted("Übersicht 2024.pdf")
	w.do(chromedp.SendKeys("#search", "x"))
	w.wait(`names().length === 0 && text('#empty') === 'No name matches “uber 2024x”'`)
}

// pageKeyboard: all can be done and seen with the keyboard.
func pageKeyboard(t *testing.T, b context.Context, s *site) {
	s.put("a.txt", "a")
	s.put("b.txt", "b")
	w := openWindow(t, b, s.url())
	w.wait(`names().length === 2`)
	walk := []string{"Choose files to upload", "Search files by name", "Name", "Size", "Changed", "a.txt", "Delete a.txt", "b.txt", "Delete b.txt"}
	outlined := `(() => { const e = document.activeElement; const s = getComputedStyle(e.id === 'choose' ? document.querySelector('label[for=choose]') : e); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2; })()`
	for _, want := range walk {
		w.press(kb.Tab)
		if got := get[string](w, `focused()`); got != want {
			t.Errorf("Tab leads to %q, wanted %q", got, want)
		}
		if !get[bool](w, outlined) {
			t.Errorf("%s shows no focus", want)
		}
	}
	w.press(kb.Enter)
	w.wait(`question() === 'Delete “b.txt”?' && focused() === 'Keep it'`)
	w.press(kb.Tab)
	w.wait(`focused() === 'Delete'`)
	w.press(kb.Enter)
	w.wait(`names().join() === 'a.txt' && focused() === 'a.txt'`)
	w.choose(s.local("a.txt", 5))
	w.wait(`focused() === 'Skip'`)
	w.press(kb.Tab, kb.Tab)
	w.wait(`focused() === 'Replace'`)
	w.press(" ")
	w.wait(`state('a.txt') === 'done' && focused() === 'a.txt'`)
	s.up.hold(1 << 20)
	w.choose(s.local("big.bin", 30<<20))
	w.wait(`says('big.bin', '/s')`)
	w.do(chromedp.Focus("#choose"))
	w.press(kb.Tab)
	w.wait(`focused() === 'Dismiss a.txt'`)
	w.press(kb.Tab)
	w.wait(`focused() === 'Cancel big.bin'`)
	w.press(kb.Enter)
	w.wait(`state('big.bin') === 'cancelled' && focused() === 'Retry big.bin'`)
	s.up.open()
	w.press(kb.Tab, kb.Enter)
	w.wait(`!upload('big.bin') && focused() === 'Dismiss a.txt'`)
	w.press(kb.Enter)
	w.wait(`!upload('a.txt') && focused() === 'Choose files to upload'`)
}

// pageDrop: files can be dropped anywhere on the page; folders are refused with a word.
func pageDrop(t *testing.T, b context.Context, s *site) {
	w := openWindow(t, b, s.url())
	w.wait(`text('#connection') === 'Connected'`)
	folder := filepath.Join(t.TempDir(), "my folder")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	drag := func(kind input.DispatchDragEventType, files ...string) {
		t.Helper()
		_, err := chromedp.Call(w.ctx, input.DispatchDragEvent, input.DispatchDragEventParams{
			Type: kind, X: 700, Y: 600, Data: &input.DragData{Items: []*input.DragDataItem{}, Files: files, DragOperationsMask: 1}})
		if err != nil {
			t.Fatal(err)
		}
	}
	get[bool](w, `(addEventListener('drop', e => { window.left = !e.defaultPrevented; }), true)`)
	files := []string{s.local("one.txt", 1), s.local("two.txt", 2), folder}
	drag(input.DispatchDragEventTypeDragEnter, files...)
	drag(input.DispatchDragEventTypeDragOver, files...)
	w.wait(`text('#target') === 'Drop the files to upload them'`)
	drag(input.DispatchDragEventTypeDrop, files...)
	w.wait(`names().join() === 'one.txt,two.txt' && text('#target') === ''`)
	w.wait(`alerts().includes('“my folder” is a folder.')`)
	if left := get[bool](w, `window.left`); left {
		t.Error("the browser leaves the page for what is dropped")
	}
	s.wantStored("one.txt", "two.txt")
}

// pageDownload: a link downloads; all see it run; the window that asked for it is told when it
// fails.
func pageDownload(t *testing.T, b context.Context, s *site) {
	file, err := os.Create(filepath.Join(s.dir, "large ü.bin"))
	if err == nil {
		err = file.Truncate(60 << 20)
	}
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	one, two := openWindow(t, b, s.url()), openWindow(t, b, s.url())
	two.wait(`names().length === 1`)
	dir, yes := t.TempDir(), true
	if _, err := chromedp.CallBrowser(b, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir, EventsEnabled: &yes}); err != nil {
		t.Fatal(err)
	}
	begun := make(chan string, 10)
	ctx, cancel := context.WithTimeout(b, patience)
	defer cancel()
	if err := chromedp.ListenBrowser(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *browser.EventDownloadWillBegin:
			begun <- ev.GUID
		case *browser.EventDownloadProgress:
			if ev.State == browser.DownloadProgressStateCompleted {
				begun <- "completed"
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	next := func() string {
		t.Helper()
		select {
		case s := <-begun:
			return s
		case <-ctx.Done():
			t.Fatal("no download")
		}
		return ""
	}
	link := chromedp.Click("#files tbody a")
	s.down.hold(4 << 20)
	one.do(link)
	id := next()
	two.wait(`all('#activity .running').some(e => e.textContent.includes('Being downloaded') && all('progress', e)[0].value > 0)`)
	if _, err := chromedp.CallBrowser(b, browser.CancelDownload, browser.CancelDownloadParams{GUID: id}); err != nil {
		t.Fatal(err)
	}
	s.down.open()
	one.wait(`alerts().includes('“large ü.bin” was not downloaded whole.')`)
	two.wait(`text('#activity .failed').includes('Download failed.') && alerts() === ''`)
	one.do(link)
	next()
	if got := next(); got != "completed" {
		t.Fatal(got)
	}
	two.wait(`text('#activity .over').includes('Downloaded · 62.9 MB')`)
	if st, err := os.Stat(filepath.Join(dir, "large ü.bin")); err != nil || st.Size() != 60<<20 {
		t.Errorf("downloaded: %v, %v", st, err)
	}
}

// pageTabs: tabs that nobody sees hold no connection, of which a browser has six to a server,
// and are up to date when they are seen again.
func pageTabs(t *testing.T, b context.Context, s *site) {
	var tabs []*window
	for range 7 {
		w := openWindow(t, b, s.url(), chromedp.WithNewWindow(false))
		w.wait(`text('#connection') === 'Connected'`)
		tabs = append(tabs, w)
	}
	first, last := tabs[0], tabs[len(tabs)-1]
	if hidden := get[bool](first, `document.hidden`); !hidden {
		t.Fatal("a tab behind others is not hidden")
	}
	last.choose(s.local("new.txt", 1))
	last.wait(`names().join() === 'new.txt'`)
	if _, err := chromedp.Call(first.ctx, page.BringToFront, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	first.wait(`names().join() === 'new.txt'`)
	s.put("newer.txt", "")
	first.choose(s.local("newest.txt", 1))
	first.wait(`names().join() === 'new.txt,newer.txt,newest.txt'`)
}

// look sets what the person at the screen has chosen, and the width of it.
func (w *window) look(scheme string, width int64) {
	w.t.Helper()
	_, err := chromedp.Call(w.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.do(chromedp.EmulateViewport(width, 800))
}

// busy has the page show everything that it can show, with long names; then a question.
func busy(t *testing.T, b context.Context, s *site) *window {
	long := strings.Repeat("long-", 49) + ".txt"
	for _, name := range []string{"a.txt", "report 2025.pdf", long, strings.Repeat("W", 200)} {
		s.put(name, name)
	}
	w := openWindow(t, b, s.url())
	w.wait(`names().length === 4`)
	w.click("Delete a.txt")
	s.put("a.txt", "changed")
	w.click("Delete")
	w.wait(`alerts().includes('was not deleted')`)
	s.up.hold(6 << 20)
	w.choose(s.local(strings.Repeat("v", 240)+".mp4", 30<<20), s.local("done.txt", 10), s.local(".refused", 10), s.local("cancelled", 30<<20), s.local("two", 30<<20), s.local("three", 30<<20))
	w.click("Cancel cancelled")
	w.wait(`state('done.txt') === 'done' && state('.refused') === 'failed' && state('cancelled') === 'cancelled' && all('#uploads .sending').length === 3`)
	return w
}

// pageLooks: dark or light as the system is, and narrow without scrolling sideways.
func pageLooks(t *testing.T, b context.Context, s *site) {
	w := busy(t, b, s)
	brightness := `getComputedStyle(document.body).backgroundColor.match(/\d+/g).reduce((a, b) => a + Number(b), 0)`
	fits := func(what string) {
		t.Helper()
		if wide := get[string](w, `document.documentElement.scrollWidth <= innerWidth && all('main *').every(e => e.getBoundingClientRect().right <= innerWidth) ? '' : document.documentElement.scrollWidth + ' ' + all('main *').find(e => e.getBoundingClientRect().right > innerWidth)?.outerHTML`); wide != "" {
			t.Errorf("%s is too wide: %s", what, wide)
		}
	}
	w.look("light", 360)
	if got := get[int](w, brightness); got < 600 {
		t.Errorf("light is %d of 765", got)
	}
	fits("the page")
	w.look("dark", 360)
	if got := get[int](w, brightness); got > 150 {
		t.Errorf("dark is %d of 765", got)
	}
	w.choose(s.local(strings.Repeat("W", 200), 3))
	w.wait(`question()`)
	fits("the page with a question")
	if wide := get[bool](w, `(d => d.scrollWidth > d.clientWidth || d.getBoundingClientRect().right > innerWidth)(document.querySelector('dialog'))`); wide {
		t.Error("the question is too wide")
	}
}

// pageAxe: axe-core, a checker of accessibility, finds nothing.
func pageAxe(t *testing.T, b context.Context, s *site) {
	axe, err := os.ReadFile("../.build/axe.min.js")
	if err != nil {
		t.Skip("no axe-core on this machine (make axe)")
	}
	check := func(w *window, what string) {
		t.Helper()
		w.do(chromedp.Evaluate[chromedp.Void](string(axe) + "; undefined"))
		found := get[[]string](w, `axe.run().then(r => [r.passes.length < 15 ? r.passes.length + ' rules only' : '', ...[...r.violations, ...r.incomplete].flatMap(v =>
			v.nodes.map(n => v.id + ': ' + n.html.slice(0, 300) + ' ' + n.failureSummary))].filter(Boolean))`)
		for _, f := range found {
			t.Errorf("%s: %s", what, f)
		}
	}
	w := busy(t, b, s)
	other := openWindow(t, b, s.url())
	other.wait(`text('#activity .running') !== '' && names().length > 0`)
	check(other, "a window that looks on")
	w.look("light", 1000)
	check(w, "the page, light")
	w.look("dark", 360)
	check(w, "the page, dark and narrow")
	w.choose(s.local("a.txt", 3))
	w.wait(`question()`)
	check(w, "a question, dark and narrow")
	w.look("light", 1000)
	check(w, "a question, light")
}
