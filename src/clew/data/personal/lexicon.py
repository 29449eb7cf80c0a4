"""A small lexicon of people's names and of words of street addresses, in the languages of Europe and the Americas.

Written for clew, of what is common knowledge; it is no list of persons. It needs to know a good part of the names of
a column, not all: see `names`.
"""

from typing import Final

_GIVEN: Final = """
adam adele adrian agata agnes agnieszka ahmed aino alain alan albert alberto alejandra alejandro aleksander aleksandra
alessandra alessandro alex alexander alexandra alexandre alfonso alfred ali alice alicia alina allison alma amanda
amelia amy ana anders andre andrea andreas andres andrew andrzej angel angela angelika anita anja ann anna annalisa
anne annette annie anouk anthony anton antonella antonia antonio antti april arthur arturo ashley astrid aurelie
axel barbara bart beata beate beatrice beatriz benedikt benjamin benoit bernard bernd bert beth bettina betty bill bjorn
björn bob bogdan brandon brenda brian bridget britta bruno camila camille carl carla carlo carlos carmen carol carolin
carolina caroline caterina catherine cecilia cecile cedric charles charlotte chiara chloe chris christa christian
christina christine christoph christopher claire clara claude claudia claudio colette connor cornelia cristina cynthia
dagmar dan daniel daniela daniele danielle daria dario david dawn deborah debra denis denise dennis derek devin diana
diane diego dieter dirk dmitri dolores dominik dominique donald donna dora doris dorota dorothy douglas duncan edith
eduardo edward eero eileen elena eleni elias elif elisa elisabeth elise elizabeth elke ella ellen elsa emil emilia
emilie emily emma enrico enrique eric erica erik erika erin ernst esther ethan eva eve evelyn ewa fabian fabien fatima
federico felipe felix fernando filip finn fiona florence florian frances francesca francesco francisco franck francois
françois frank franz fred frederic frida friedrich fritz gabriel gabriela gabriele gary gemma geoffrey georg george
georges gerald gerard gerd gerhard gianni gilbert gilles gina giorgio giovanni gisela giulia giuseppe gloria gonzalo
grace graham greta gudrun guido guillaume gunnar günter gustav hanna hannah hannele hans harald harold harry hassan
heather hector heidi heike heinrich heinz helen helena helene helga helmut hendrik henri henrik henry herbert hermann
hilda holger hugo ian ibrahim ida igor ilse ines ingo ingrid irena irene iris irma isabel isabella isabelle ivan ivana
jack jackie jacob jacqueline jacques jaime jake jakob james jamie jan jana jane janet jari jason javier jean jeanne
jeff jeffrey jennifer jens jeremy jessica jill jim joachim joan joanna joao joe joel johan johann johanna johannes john
jon jonas jonathan jorge jose josé josef joseph josephine josh joshua joyce juan juana juha juhani julia julian julie
julien juliette jürgen jurgen jutta kai karen karin karl karla karolina kasper katarina katarzyna kate katharina
katherine kathleen kathryn katja kay keith kelly ken kenneth kevin kim kirsten klaus konrad kristin kristina krzysztof
kurt kyle larry lars laura laure laurence laurent lauri lea leah lena leo leon leonard leonie leonor leslie li lia lina
linda lisa lise livia lorenzo lou louis louise luc luca lucas lucia lucie lucy ludwig luigi luis luisa lukas luke lydia
maciej madeleine magda magdalena maja malgorzata manfred manon manuel manuela marc marcel marcin marco marcos marek
margaret margarita margit maria marianne marie mariana marina mario marion marisa marius marjorie mark marko markus
marlene marta martha martin martina martine mary mateusz mathias mathilde mathieu matt matteo matthew matthias
maurice max maxime maximilian megan melanie melissa michael michaela michal michel michele michelle miguel mika mike
mikael mikko milan mirjam mohamed mohammed monica monika monique moritz muhammad myriam nadia nadine nancy natalia
natalie nathalie nathan nelly nicholas nick nicola nicolas nicole niels nikolai nils nina noah noel nora norbert nuno
olaf ole oleg olga oliver olivia olivier omar oscar oskar otto pablo paola paolo pascal patricia patrick paul paula
pauline pavel pedro peggy per peter petra philip philipp philippe pia pierre pilar piotr priya quentin rachel rafael
rafal ragnar rainer raj ralf ralph ramon raphael raquel raul raymond rebecca regina reinhard renate rene renee reto
ricardo richard rita robert roberta roberto robin rocio roger roland rolf romain roman ronald rosa rosario rose roxane
rudolf ruth ryan sabine salvatore sam samantha samuel sandra santiago sara sarah sascha scott sean sebastian serge
sergei sergio sharon sheila shirley sigrid silke silvia silvio simon simona simone sofia sonia sophia sophie stacy
stefan stefania stefano stephan stephane stephanie stephen steve steven stuart sue susan susanna susanne suzanne sven
sylvia sylvie tamara tanja tara tatiana teresa terry theo theodor theresa therese thierry thomas tim timo timothy tina
tobias todd tom tomas tomasz tony tove tracy ulrich ulrike ulf urs ursula ute uwe valentin valentina valerie vanessa
vera veronica veronika veronique vicente victor victoria viktor vincent viola virginia virginie vittorio vladimir
walter wanda wei wendy werner wilhelm will william willy wolfgang xavier yann yannick yasmin yves yvonne zoe zofia
"""
_FAMILY: Final = """
adams ahmed alonso alvarez andersen anderson andersson baker bakker barbieri bauer baumann becker bell bennett berg
bernard bianchi blanc bonnet borges boyer braun brooks brown brunner bruno campbell carter castro clark collins colombo
conti cook cooper costa cruz dahl davies davis dias diaz dubois dupont duran durand edwards eriksson esposito evans
fernandes fernandez ferrari ferreira fischer flores fontaine foster fournier frank fuchs garcia gardner gerber gomes
gomez gonzalez graf gray greco green gruber gustafsson gutierrez hall hansen hansson harris hartmann hernandez hill
hofer hoffmann hofmann howard huber hughes ivanov jackson jakobsen jansen jansson janssen jensen johansen johansson
johnson jonas jones jonsson kaiser karlsson kaufmann keller kelly khan kim king klein koch korhonen kovacs kowalski
kowalska krause kraus krüger kumar kuntz lambert lang larsen larsson laurent lee lefebvre lehmann leroy lewis li
lindberg lopes lopez maier mancini marchand marin marino marques martin martinez martins mayer mazur meier mendez
mercier meyer miller mitchell molina moore morales moreau morel moreno morgan moretti morris müller mueller murphy
murray myers nelson neumann nguyen nielsen nieminen nilsson novak nowak oliveira olsen olsson ortega ortiz parker
patel pedersen perez pereira perrin persson peters petersen peterson petit phillips pinto popescu popov price quinn
ramirez ramos reed reyes ricci richards richter rivera roberts robert robinson rodrigues rodriguez rogers roy romano
romero ross rossi roth rousseau roux ruiz russo sanchez sanders santos schmid schmidt schmitt schmitz schneider scholz
schulz schulze schwarz scott silva simon singh smit smith sousa stein steiner stewart suarez svensson suter szabo
taylor thomas thompson torres toth turner van vargas vasquez vazquez virtanen visser vogel vogt wagner walker wang ward
watson weber weiss werner white widmer williams wilson winkler wolf wong wood wright wyss young yilmaz zhang
zimmermann
"""
_ENDINGS: Final = """
strasse straße str. gasse weg platz allee steig stieg straat laan gracht plein gatan vägen vagen gata veien vei vej
gade katu
"""
_BEFORE: Final = """
rue avenue av. boulevard bd chemin impasse allée quai via viale vicolo piazza corso calle avenida paseo plaza carrer
rua travessa praça estrada ulica ul. aleja al. ulitsa
"""
_AFTER: Final = """
street st st. avenue ave ave. road rd rd. lane ln ln. drive dr dr. court ct ct. boulevard blvd blvd. terrace crescent
close square parkway pkwy place pl pl. way
"""
_TITLES: Final = """
mr mrs ms miss herr frau mme mlle monsieur madame señor señora sr sra signor signora sig dr prof pan pani
"""
GIVEN: Final = frozenset(_GIVEN.split())
FAMILY: Final = frozenset(_FAMILY.split())
STREET_ENDINGS: Final = tuple(_ENDINGS.split())
STREET_BEFORE: Final = tuple(_BEFORE.split())
STREET_AFTER: Final = tuple(_AFTER.split())
TITLES: Final = tuple(_TITLES.split())
